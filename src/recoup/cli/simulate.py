"""`recoup simulate`: worlds of hidden lives played against policies and other systems' schedules."""

import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from recoup.cli.faults import FOUND, UNREACHABLE, USAGE, Fault

if TYPE_CHECKING:
    from recoup.lab.simulate import Engine, Entrant, Result
    from recoup.lab.world import World

DEFAULT_WORLDS = ("consumer",)


Worlds = Annotated[
    list[str] | None,
    typer.Option(
        "--world", help="A world by name, or a world file; may be given again.", metavar="NAME_OR_FILE"
    ),
]
Policies = Annotated[
    list[str] | None,
    typer.Option(
        "--policy",
        help="A shipped policy, a policy file or a baseline; may be given again. Without: all of them.",
        metavar="NAME_OR_FILE",
    ),
]
ModelFile = Annotated[
    Path | None,
    typer.Option(
        help="A model made by `recoup learn`, for the learned policies.", exists=True, dir_okay=False
    ),
]
EngineName = Annotated[
    Literal["local", "ray", "house"],
    typer.Option(help="In memory, on a Ray cluster, or through the real engine on a clock of its own."),
]
Log = Annotated[
    Path | None,
    typer.Option(
        help="Instead: cases of the world under a random policy, with outcomes and propensities (JSON lines).",
        dir_okay=False,
    ),
]


def simulate(
    world: Worlds = None,
    policy: Policies = None,
    model: ModelFile = None,
    cases: Annotated[int, typer.Option(help="How many failed payments.", min=1, max=1_000_000)] = 1000,
    seed: Annotated[int, typer.Option(help="Another seed, other lives.")] = 1,
    jobs: Annotated[int, typer.Option(help="On how many processes.", min=1, max=256)] = 1,
    engine: EngineName = "local",
    as_json: Annotated[bool, typer.Option("--json", help="All figures as JSON.")] = False,
    html: Annotated[Path | None, typer.Option(help="Also as a page with charts.", dir_okay=False)] = None,
    export: Log = None,
    listed: Annotated[bool, typer.Option("--list", help="The worlds and baselines, with sources.")] = False,
) -> None:
    """Plays worlds of hidden lives against policies: what each keeps, of what could be kept."""
    from recoup.lab.world import WorldRefused, load

    if listed:
        from recoup.cli.simulated import show_list

        show_list(as_json=as_json)
        return
    try:
        worlds = [load(name) for name in world or DEFAULT_WORLDS]
    except WorldRefused as e:
        raise Fault(str(e), USAGE) from e
    if export is not None:
        _export(worlds, cases, seed, export)
        return
    entrants = _entrants(policy or [], model)
    results = _played(worlds, entrants, cases, seed, _engine(engine, jobs, worlds))
    _show(results, entrants, as_json=as_json, html=html)


def _entrants(policies: Sequence[str], model: Path | None) -> "list[Entrant]":
    """Those named, else ours and every baseline; a model stands beside the same policy without it."""
    from recoup.decide.model import read_model
    from recoup.lab.rivals import rivals
    from recoup.lab.simulate import entrant

    names = list(dict.fromkeys(policies)) or ["default", *rivals()]
    content = None
    if model is not None:
        content = model.read_bytes()
        try:
            read_model(content)
        except ValueError as e:
            raise Fault(f"{model}: {e}", FOUND) from e
    found: dict[str, Entrant] = {}
    for name in names:
        one = entrant(name)
        if content is not None and one.policy is not None:
            with_model = entrant(name, content)
            found.setdefault(with_model.name, with_model)
        if one.name in found:
            raise Fault(f"{name}: another policy is named {one.name!r}; give one of them another name", USAGE)
        found[one.name] = one
    return list(found.values())


def _engine(name: str, jobs: int, worlds: "Sequence[World]") -> "Engine":
    from recoup.lab.simulate import Local

    if name == "house":
        from recoup.cli.simulated_house import InTheHouse

        return InTheHouse()
    if name == "ray":
        from recoup.lab.on_ray import NoRay, OnRay

        try:
            return OnRay(jobs if jobs > 1 else None)
        except NoRay as e:
            raise Fault(str(e), UNREACHABLE) from e
    return Local(jobs)


def _played(
    worlds: "Sequence[World]", entrants: "Sequence[Entrant]", cases: int, seed: int, engine: "Engine"
) -> "list[Result]":
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from recoup.lab.on_ray import NoRay
    from recoup.lab.simulate import run

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    console = Console(stderr=True)
    results = []
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        for world in worlds:
            line = bar.add_task(f"{world.name}, {len(entrants)} policies", total=cases)
            try:
                results.append(run(world, seed, entrants, cases, engine, partial(bar.advance, line)))
            except NoRay as e:
                raise Fault(str(e), UNREACHABLE) from e
    return results


def _show(
    results: "list[Result]", entrants: "Sequence[Entrant]", *, as_json: bool, html: Path | None
) -> None:
    from recoup.cli import simulated

    if html is not None:
        from recoup.lab.simulated_page import page

        html.write_text(page(results, entrants), encoding="utf-8")
        print(f"recoup: the page is in {html}", file=sys.stderr)
    if as_json:
        simulated.write_json(results)
    else:
        simulated.show(results, entrants)


def _export(worlds: "Sequence[World]", cases: int, seed: int, out: Path) -> None:
    from recoup.lab.random_log import write_log

    if len(worlds) != 1:
        raise Fault("--export takes one world; name exactly one with --world", USAGE)
    with out.open("wb") as file:
        written = write_log(worlds[0], seed, cases, file)
    print(f"recoup: {written} cases of {worlds[0].name} under a random policy, in {out}", file=sys.stderr)
