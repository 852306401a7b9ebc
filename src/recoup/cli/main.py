"""The way in from a terminal: every command under its name, errors as one line, exit codes that programs can read."""

import sys
from typing import Annotated

import typer

from recoup import __version__
from recoup.cli import (
    backtest,
    bounce,
    decide,
    demo,
    doctor,
    experiment,
    explain,
    export,
    imports,
    learn,
    merchant,
    message,
    migrate,
    policy,
    predict,
    report,
    serve,
    simulate,
    verify,
)
from recoup.cli.faults import STOPPED, USAGE, tell

app = typer.Typer(
    name="recoup",
    help="Gets failed subscription payments paid, keeps the customer, and proves what it did.",
    no_args_is_help=True,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # its formatter alone takes longer to load than everything else here
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"recoup {__version__}")
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    pass


app.command("demo", short_help="A small company in a sandbox, its failed renewals recovered")(demo.demo)
app.command("serve", short_help="API, dashboard, hosted pages and a worker")(serve.serve)
app.command("worker", short_help="A worker alone, as many as you like")(serve.worker)
app.command("migrate", short_help="Bring the database to this version")(migrate.migrate)
app.add_typer(merchant.app, name="merchant", short_help="Register billing accounts: add, list, show, ...")
app.command("import", short_help="Back-fill history from files of other systems")(imports.import_)
app.command("decide", short_help="Case views in, decisions out, line by line")(decide.decide)
app.command("learn", short_help="A model of your own finished cases")(learn.learn)
app.command("export", short_help="Your cases with decisions and outcomes, as lines")(export.export)
app.command("simulate", short_help="Worlds of hidden lives against policies and rivals")(simulate.simulate)
app.command("backtest", short_help="Had another policy timed your charges, or why nobody can tell")(
    backtest.backtest
)
app.command("predict", short_help="Which coming renewals will fail, and why")(predict.predict)
app.command("explain", short_help="The life of one case in words")(explain.explain)
app.command("report", short_help="Figures, checks, benchmarks, opportunities, forecast")(report.report)
app.command("verify", short_help="Hold the books against themselves")(verify.verify)
app.add_typer(policy.app, name="policy", short_help="Lint, explain, compare, try, activate policies")
app.add_typer(experiment.app, name="experiment", short_help="A/B tests: start, list, result, stop, promote")
app.add_typer(message.app, name="message", short_help="Show messages, keep your own words for them")
app.command("bounce", short_help="Take in a mail that came back, from a mail server's pipe")(bounce.bounce)
app.command("doctor", short_help="Check this installation, each fault with its fix")(doctor.doctor)


def run() -> None:
    """Runs one command and ends the process with its exit code."""
    sys.exit(answered())


def answered() -> int:
    """Runs the command that `sys.argv` names; its exit code. Every error is told on stderr."""
    try:
        code = app(standalone_mode=False)
    except typer.TyperException as e:
        if type(e).__name__ == "NoArgsIsHelpError":  # its words are the help itself
            print(e.format_message(), file=sys.stderr)
            return USAGE
        command = getattr(getattr(e, "ctx", None), "command_path", "recoup")
        print(f"recoup: {e.format_message().rstrip('.')}; see `{command} --help`", file=sys.stderr)
        return USAGE
    except (KeyboardInterrupt, typer.Abort):
        code = STOPPED
    except Exception as e:
        return tell(e)
    if code == STOPPED:  # so typer answers, too, when Ctrl-C ended it
        print("recoup: stopped", file=sys.stderr)
    return code if isinstance(code, int) else 0
