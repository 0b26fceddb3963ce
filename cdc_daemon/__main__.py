"""`python -m cdc_daemon` is the command `cdc-daemon`."""

from cdc_daemon.cli import main

if __name__ == "__main__":
    main()
