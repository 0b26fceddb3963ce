"""The joined read models of a pipeline at work: transactions into the state, documents out of it.

The reader's thread owns all of it.
"""

from cdc_daemon.joining.heartbeat import Heartbeat
from cdc_daemon.joining.joiner import Joiner
from cdc_daemon.joining.keeping import Kept

__all__ = ["Heartbeat", "Joiner", "Kept"]
