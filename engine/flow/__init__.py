"""The method this project is named after: dense flow and depth in the avatar's picture, followed by controllers.

Start with `flow_network`, one checkpoint and avatar ready to run; then `network` (sizes and layers), `backends`
(compiled), `ours` and `published` (what follows the flow).
"""
