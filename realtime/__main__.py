"""`python -m realtime` is `vfa`; so is `torchrun -m realtime`."""

from realtime.cli import main

if __name__ == "__main__":
    main()
