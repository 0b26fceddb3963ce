"""`python -m deploy.examples.social.app`: starts all that the application needs, until Ctrl-C."""

from deploy.examples.showcase.stage import main

main("social")
