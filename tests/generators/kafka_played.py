"""A cluster that librdkafka plays itself, in this process: it fails just as it is told to.

A real broker answers so for a moment only, when it was killed or has made a topic just now.
"""

from __future__ import annotations

import ctypes
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import confluent_kafka

if TYPE_CHECKING:
    from collections.abc import Iterator

PRODUCER: Final = 0
LIST_OFFSETS: Final = 2
OFFSET_COMMIT: Final = 8
OFFSET_FETCH: Final = 9
FIND_COORDINATOR: Final = 10
"""Requests, by their numbers in Kafka's protocol."""


class PlayedKafka:
    """One broker."""

    def __init__(self, cluster: ctypes.c_void_p) -> None:
        self._cluster = cluster
        self.bootstrap_servers: str = _library().rd_kafka_mock_cluster_bootstraps(cluster).decode()

    def make_topic(self, name: str, partitions: int) -> None:
        """It has no messages."""
        assert (
            _library().rd_kafka_mock_topic_create(self._cluster, name.encode(), partitions, 1) == 0
        )

    def fail(self, request: int, *codes: int) -> None:
        """The next requests of the kind are answered with these errors, one after the other."""
        errors = (ctypes.c_int * len(codes))(*codes)
        _library().rd_kafka_mock_push_request_errors_array(
            self._cluster, ctypes.c_int16(request), ctypes.c_size_t(len(codes)), errors
        )


@contextmanager
def played_kafka() -> Iterator[PlayedKafka]:
    """Play one for as long as the context lasts."""
    library = _library()
    handle = ctypes.c_void_p(library.rd_kafka_new(PRODUCER, None, None, 0))
    cluster = ctypes.c_void_p(library.rd_kafka_mock_cluster_new(handle, 1))
    try:
        yield PlayedKafka(cluster)
    finally:
        library.rd_kafka_mock_cluster_destroy(cluster)
        library.rd_kafka_destroy(handle)


@cache
def _library() -> Any:
    """The one that the package brings along, and has loaded already."""
    package = Path(confluent_kafka.__file__).parent
    [file] = package.with_name("confluent_kafka.libs").glob("librdkafka*")
    library = ctypes.CDLL(str(file))
    for made in (library.rd_kafka_new, library.rd_kafka_mock_cluster_new):
        made.restype = ctypes.c_void_p
    library.rd_kafka_mock_cluster_bootstraps.restype = ctypes.c_char_p
    return library
