"""The declaration: endpoints, runs and test set, fixed by a file before anything is trained."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from asr_core import limits
from asr_core.errors import InputError
from asr_core.registry import unknown_name
from asr_core.saving.schema import Name, Number, PlainRecord, Several, Text, parse, record
from asr_core.saving.text_files import read_toml
from asr_core.training import DataFacts
from robust.norm_noise.severity import parse_severity
from robust.training.classifier import ClassifierRun

SHIPPED = Path(__file__).parent / "protocol.toml"
LIVE_FROZEN, NORMS = "live, its gates at their means", ("bn+asr", "in")
_Seeds = Annotated[int, Field(ge=2, le=limits.RUNS)]


@record
@dataclass(frozen=True, kw_only=True)
class Endpoint(PlainRecord):
    """What is compared, and what the comparison is to decide.

    Attributes:
        name: of the endpoint.
        claim: in words.
        source: who says so, and where.
        a: an arm; on "style", a norm variant.
        b: what it is compared with.
        on: "clean" accuracy, accuracy under "noise", "freezing" live gates, or "style".
        equal: whether the claim is that there is no difference.
        published: the effect in the source; None if it gives none.
        margin: smaller differences do not matter. In points of top-1; on "style", in % of IN's
            advantage.
    """

    name: Name
    claim: Name
    source: Name
    a: Name
    b: Name
    on: Literal["clean", "noise", "freezing", "style"]
    equal: bool = False
    published: Number | None = None
    margin: Annotated[Number, Field(gt=0)]

    @property
    def unit(self) -> str:
        """Of all its numbers."""
        return "%" if self.on == "style" else "points"

    @property
    def middle(self) -> float:
        """What the margin is around: the published effect where equality with it is claimed."""
        return (self.published or 0.0) if self.equal else 0.0


@record
@dataclass(frozen=True, kw_only=True)
class NoiseRule(PlainRecord):
    """How the severity of the noise is set: on plain networks, before any contrast is seen.

    Attributes:
        kind: the noise.
        severities: those to choose from.
        low: least accuracy that it may leave plain networks, in [0, 1].
        high: the greatest. The one nearest to the middle is taken.
        repeats: draws of the noise a network.
    """

    kind: Name
    severities: Annotated[Several[Text], Field(min_length=1)]
    low: Annotated[Number, Field(ge=0, le=1)]
    high: Annotated[Number, Field(ge=0, le=1)]
    repeats: Annotated[int, Field(ge=1, le=limits.REPEATS)] = 1

    def __post_init__(self) -> None:
        if not self.low < self.high:
            raise InputError(f"noise: low is {self.low}, high {self.high}; low must be less")
        for severity in self.severities:
            text = parse_severity(self.kind, severity).text
            if text != severity:  # what is measured is found again by its text
                raise InputError(f"noise: severity {severity!r} is written {text!r}")


@record
@dataclass(frozen=True, kw_only=True)
class Protocol(PlainRecord):
    """A protocol file.

    Attributes:
        title: the question.
        data: data set, a name or a folder.
        split: whose images are tested.
        correction: of the p values of all endpoints.
        over: what intervals generalise to.
        seeds: seeds of an arm, 0, 1, 2, …; those that are run may be fewer, never more.
        least: with fewer seeds no verdict is given.
        pilot: seeds of plain that set the severity.
        training: fields of every run.
        arms: name -> the fields that are its own; ``seeds`` if it has fewer.
        noise: the rule for its severity.
        endpoints: what is decided.

    Raises:
        InputError: an unknown arm, or a run that cannot be trained.
    """

    title: Name
    data: Name
    split: Literal["test"] = "test"
    correction: Literal["holm"] = "holm"
    over: Literal["seeds"] = "seeds"
    seeds: _Seeds
    least: _Seeds
    pilot: _Seeds
    training: dict[str, Any]
    arms: dict[str, dict[str, Any]]
    noise: NoiseRule
    endpoints: Annotated[Several[Endpoint], Field(min_length=1)]

    def __post_init__(self) -> None:
        for endpoint in self.endpoints:
            known = list(self.arms)
            for arm in (endpoint.a, endpoint.b):
                if endpoint.on == "freezing" and arm == LIVE_FROZEN:
                    continue
                if endpoint.on == "style":
                    known = list(NORMS)
                if arm not in known:
                    raise unknown_name(f"arm of the endpoint {endpoint.name!r}", arm, known)
        if "plain" not in self.arms:
            raise InputError("the protocol has no arm 'plain', on which the severity is set")

    def seeds_of(self, arm: str, most: int | None = None) -> int:
        """How many seeds of ``arm`` are run; ``most`` limits them all."""
        declared: int = self.arms[arm].get("seeds", self.seeds)
        return declared if most is None else min(declared, most)

    def training_of(self, arm: str, seed: int, **fields: Any) -> ClassifierRun:
        """What a seed of ``arm`` trains; ``fields`` say where its data are.

        Raises:
            InputError: no run can have these fields.
        """
        own = {name: value for name, value in self.arms[arm].items() if name != "seeds"}
        try:
            return ClassifierRun.from_fields({**self.training, **own, **fields, "seed": seed})
        except InputError as error:
            raise InputError(f"arm {arm!r}: {error}") from None


@record
@dataclass(frozen=True, kw_only=True)
class Declaration(PlainRecord):
    """What is written before the first run; the verdicts are bound to it.

    Attributes:
        protocol: the whole of it.
        sha256: of its file.
        data: facts of the data set, whose test images and labels are those declared.
        seeds: how many seeds are run, fixed before any contrast is seen.
    """

    protocol: Protocol
    sha256: Text
    data: DataFacts
    seeds: _Seeds

    def __post_init__(self) -> None:
        if self.seeds > self.protocol.seeds:
            raise InputError(
                f"seeds is {self.seeds}; the protocol declares at most {self.protocol.seeds}"
            )

    @property
    def pilot(self) -> int:
        """Seeds of plain that set the severity."""
        return min(self.protocol.pilot, self.protocol.seeds_of("plain", self.seeds))


def read_protocol(path: Path | str = SHIPPED) -> tuple[Protocol, str]:
    """The protocol in a TOML file, and the SHA-256 of the file.

    Raises:
        InputError: not TOML, an unknown or missing field, or a value out of range; the message
            names the file.
        OSError: the file cannot be read.
    """
    path = Path(path)
    protocol = parse(Protocol, read_toml(path), where=str(path))
    return protocol, hashlib.sha256(path.read_bytes()).hexdigest()


def require_declared(what: str, found: Mapping[str, Any], declared: Mapping[str, Any]) -> None:
    """Refuse what deviates from the declaration.

    Args:
        what: of which it is said, as "endpoint 'accuracy'".
        found: by name.
        declared: by name.

    Raises:
        InputError: naming the first that deviates, and both values.
    """
    for name in {**declared, **found}:
        if found.get(name) != declared.get(name):
            raise InputError(
                f"{what}: {name} is {found.get(name)!r}, declared was {declared.get(name)!r}; a "
                "verdict needs what was declared, anything else is another protocol"
            )
