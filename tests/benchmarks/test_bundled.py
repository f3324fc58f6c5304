from typer.main import get_command

from benchmarks.bundled import commands
from qfa_search.cli import app


def test_the_commands_of_the_bundled_supernet_can_be_parsed(tmp_path):
    root = get_command(app)
    for _, _, package, name, *arguments in commands(tmp_path):
        assert package == "qfa_search"
        command = root.commands[name]
        with command.make_context(name, list(arguments)) as context:
            assert context.params["out"] is not None or name == "fit"
