"""`python -m srgan_cli`, for launchers that want a module."""

from srgan_cli.cli.app import main

if __name__ == "__main__":  # loader processes import this module again
    main()
