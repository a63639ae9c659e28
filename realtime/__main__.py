"""`python -m realtime` is `vfa`; so is `torchrun -m realtime`."""

from realtime.start import main

if __name__ == "__main__":
    main()
