"""Whether we may be one of several replicas: what `cdc-daemon check` says of it."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Final

from cdc_daemon.errors import CdcError, SourceError
from cdc_daemon.ports import Finding
from connectors.kafka.doctor import allow
from connectors.kafka.topics import Topics
from connectors.relay.words import prefix_of

if TYPE_CHECKING:
    from connectors.kafka.session import KafkaSection

CHECK: Final = "replicas"
_ASKED: Final = "check"
"""Behind the prefix: rights are given by that, as which sink it is comes behind it."""


def replicas(section: KafkaSection, pipeline: str) -> Finding:
    """Rights on groups and topics of our own; a daemon that runs alone needs none of them."""
    prefix = prefix_of(pipeline)
    with closing(Topics(section, f"cdc-daemon.{pipeline}", SourceError)) as topics:
        try:
            lacking = [
                *([] if _may_share_topics(topics, prefix) else [("topic", "Create", "Read")]),
                *([] if _may_join(topics, prefix) else [("group", "Read")]),
            ]
        except CdcError as error:
            return Finding(CHECK, "warning", str(error))
    if not lacking:
        return Finding(CHECK, "ok", f"we may have groups and topics {prefix}* for them")
    commands = [
        f"{allow(section)} --resource-pattern-type prefixed --{kind} {prefix} --operation Describe "
        + " ".join(f"--operation {operation}" for operation in operations)
        for kind, *operations in lacking
    ]
    kinds = " and ".join(f"{kind}s" for kind, *_ in lacking)
    return Finding(
        CHECK,
        "warning",
        f"we may not have {kinds} {prefix}*, which processes with --role projector need; one that "
        f"runs alone doesn't. Run: {'; '.join(commands)}",
    )


def _may_share_topics(topics: Topics, prefix: str) -> bool:
    """Those that are there must be readable, and others could be made."""
    names = [name for name in topics.names() if name.startswith(prefix)]
    found = topics.describe(names).values()
    if any(one.operations and not {"read", "all"} & one.operations for one in found):
        return False
    try:
        topics.create(f"{prefix}{_ASKED}", partitions=1, settings={}, only_try=True)
    except SourceError:
        return False
    return True


def _may_join(topics: Topics, prefix: str) -> bool:
    return bool(topics.operations(f"{prefix}{_ASKED}") & {"read", "all"})
