"""`python -m deploy.examples.hotel.app`: starts all that the application needs, until Ctrl-C."""

from deploy.examples.showcase.stage import main

main("hotel", strong=True)
