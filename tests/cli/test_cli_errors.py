"""What goes wrong is said in one line, with an exit code to trust, and leaves every file whole."""

import json
import os
import signal
import subprocess
import sys

import numpy as np
import pytest
from click import Context
from commands import ROOT, TINY, ended, good, process, refused, run, sentences

from rnncli.cli import COMMANDS, main
from rnncli.files import artefact
from rnncli.training import checkpoint


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A folder of sound files, and of all that a command may be given by mistake."""
    folder = tmp_path_factory.mktemp("files")
    (folder / "text.txt").write_text(sentences(40))
    (folder / "words.csv").write_text("id,text\n1,hello\n")
    good("tokenize", folder / "text.txt", "-o", folder / "data.npz")
    good("train", folder / "data.npz", "-o", folder / "model.npz", *TINY, "--max-steps", 2)
    for name in ("data", "model"):
        whole = (folder / f"{name}.npz").read_bytes()
        (folder / f"{name}-cut.npz").write_bytes(whole[: len(whole) // 2])
        (folder / f"{name}-flip.npz").write_bytes(
            whole[:700] + bytes([whole[700] ^ 1]) + whole[701:]
        )
        found = artefact.read(folder / f"{name}.npz")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(artefact, "VERSION", 2)
            artefact.write(folder / f"{name}-newer.npz", name, found.header, found.arrays)
    (folder / "empty.npz").write_bytes(b"")
    np.savez(folder / "foreign.npz", a=np.arange(3))
    (folder / "folder").mkdir()
    return folder


BAD = {  # what is given -> what is said of it
    "folder": r"not a regular file|Is a directory",
    "missing.npz": "No such file",
    "text.txt": "not an rnncli file",
    "empty.npz": "an empty file",
    "foreign.npz": "not written by rnncli",
}
BAD_DATA = BAD | {
    "model.npz": "a model file, but a data file is needed",
    "data-cut.npz": "damaged",
    "data-flip.npz": "damaged",
    "data-newer.npz": "written by a newer rnncli",
}
BAD_MODEL = BAD | {
    "data.npz": "a data file, but a model file is needed",
    "model-cut.npz": "damaged",
    "model-flip.npz": "damaged",
    "model-newer.npz": "written by a newer rnncli",
}


def says(line, name, message):
    parts = message.split("|")
    assert name in line
    assert any(part in line for part in parts), line


@pytest.mark.parametrize(("name", "message"), BAD_DATA.items())
def test_a_data_file_that_is_none_is_refused(files, tmp_path, name, message):
    says(refused("train", files / name, "-o", tmp_path / "m.npz"), name, message)
    says(refused("eval", files / "model.npz", files / name), name, message)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("name", "message"), BAD_MODEL.items())
def test_a_model_file_that_is_none_is_refused(files, tmp_path, name, message):
    says(refused("sample", files / name), name, message)
    says(refused("eval", files / name, files / "data.npz"), name, message)
    says(refused("eval", files / name, "--text", files / "text.txt"), name, message)


@pytest.mark.parametrize(("name", "message"), (BAD_DATA | BAD_MODEL).items())
def test_a_vocabulary_from_a_file_that_has_none_is_refused(files, tmp_path, name, message):
    words = ("tokenize", files / "text.txt", "-o", tmp_path / "d.npz", "--vocab", files / name)
    if name in ("data.npz", "model.npz"):
        good(*words)  # either has one
    else:
        says(refused(*words), name, message)
        assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["folder", "missing.txt", "model.npz"])
def test_text_that_cannot_be_read_is_refused(files, tmp_path, name):
    assert name in refused("tokenize", files / name, "-o", tmp_path / "d.npz")
    if name != "model.npz":
        assert name in refused("eval", files / "model.npz", "--text", files / name)
    assert list(tmp_path.iterdir()) == []


def outputs(files):
    return {
        "tokenize": ("tokenize", files / "text.txt", "-o"),
        "train": ("train", files / "data.npz", *TINY, "--max-steps", 2, "-o"),
    }


@pytest.mark.parametrize("command", ["tokenize", "train"])
def test_an_output_that_cannot_be_written_is_known_before_the_work(files, tmp_path, command):
    words = outputs(files)[command]
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    for name, message in {
        "folder": "not a regular file", "pipe": "not a regular file", "no/x.npz": "no folder",
    }.items():  # fmt: skip
        ended = run(*words, tmp_path / name)
        assert ended.code == 1
        assert ended.err.startswith("rnncli: ")  # nothing was begun: no other line
        assert name in ended.err
        assert message in ended.err
    assert "not a regular file" in refused(*words, "/dev/null")
    assert os.path.exists("/dev/null")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["folder", "pipe"]


def test_a_file_that_is_read_is_never_the_output(files, tmp_path):
    text, data = tmp_path / "t.txt", tmp_path / "d.npz"
    text.write_text("hello there")
    assert "this file is read" in refused("tokenize", text, "-o", text)
    assert "this file is read" in refused("tokenize", text, "-o", tmp_path / "." / "t.txt")
    assert text.read_text() == "hello there"
    good("tokenize", files / "text.txt", "-o", data)
    before = data.read_bytes()
    (tmp_path / "link.npz").symlink_to(data)
    for output in (data, tmp_path / "link.npz"):
        assert "this file is read" in refused("train", data, "-o", output)
    line = refused("train", data, "-o", tmp_path / "m.npz", "--metrics", data)
    assert "this file is read" in line
    assert data.read_bytes() == before


@pytest.mark.parametrize("command", ["tokenize", "train"])
def test_a_failure_leaves_the_output_that_was_there(files, tmp_path, command, monkeypatch):
    words = outputs(files)[command]
    output = tmp_path / "out.npz"
    good(*words, output)
    before = output.read_bytes()
    if command == "train":
        words = (words[0], "--overwrite", *words[1:])

    def full(*args):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", full)
        patch.setattr(os, "write", full)
        assert "No space left on device" in refused(*words, output)
    assert output.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["out.npz"]


def test_text_with_a_bad_row_leaves_the_data_file_that_was_there(tmp_path):
    table, output = tmp_path / "t.csv", tmp_path / "d.npz"
    table.write_text('text\n"fine"\n"fine too"\n')
    good("tokenize", table, "-o", output)
    before = output.read_bytes()
    table.write_text('text\nfine\n"never closed\n')
    line = refused("tokenize", table, "-o", output)
    assert "t.csv, row 2 (line" in line
    assert output.read_bytes() == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["d.npz", "t.csv"]


def test_a_loss_that_is_not_finite_says_what_is_left(files, tmp_path):
    model = tmp_path / "m.npz"
    words = ("train", files / "data.npz", "-o", model, *TINY, "--optimizer", "sgd", "--clip", 0)
    words += ("--on-divergence", "stop")
    line = refused(*words, "--lr", "1e38", "--max-steps", 50)
    assert "no longer finite" in line
    assert "Nothing was saved." in line
    assert list(tmp_path.iterdir()) == []
    line = refused(*words, "--lr", "1e30", "--max-steps", 50, "--valid-every", 1)
    assert "no longer finite" in line
    # A run that goes wrong late leaves the model that it had.
    words = (*words, "--cell", "rnn", "--activation", "relu", "--schedule", "exponential")
    words += ("--factor", "1e7", "--lr", "1e-3", "--epochs", 9, "--overwrite")
    line = refused(*words)
    assert "no longer finite" in line
    assert "m.npz holds the last good model." in line
    assert good("sample", model, "--length", 3).out


def test_a_rollback_is_shown_and_logged(files, tmp_path):
    log = tmp_path / "log"
    words = ("train", files / "data.npz", "-o", tmp_path / "m.npz", *TINY, "--max-steps", 9)
    words += ("--optimizer", "sgd", "--clip", 0, "--cell", "rnn", "--activation", "relu")
    done = run(*words, "--lr", "1e25", "--metrics", log)
    assert "no longer finite" in done.err
    assert "Back to the last good model, with 0.5 of the rate." in done.err
    assert "3 rollbacks did not help. Use a smaller --lr or --clip." in done.err.splitlines()[-1]
    rows = [json.loads(line) for line in log.read_text().splitlines()]
    found = [row for row in rows if row["kind"] == "rollback"]
    assert [row["rate_factor"] for row in found] == [0.5, 0.25, 0.125]
    assert all("no longer finite" in row["reason"] for row in found)


def test_what_a_killed_process_left_goes_at_the_next_start_even_of_one_that_fails(files, tmp_path):
    for command, words in outputs(files).items():
        left = tmp_path / ".out.npz.rnncli-tmp-123-0123abcd"
        left.write_bytes(b"half a fi")
        refused(command, files / "missing", *words[2:], tmp_path / "out.npz")
        assert list(tmp_path.iterdir()) == []


def test_a_second_training_on_one_output_is_refused(files, tmp_path, monkeypatch):
    model, log, seen = tmp_path / "m.npz", tmp_path / "log", []
    words = ("train", files / "data.npz", *TINY, "--max-steps", 3, "--valid-every", 1)
    real = checkpoint.save

    def save(path, *more):
        real(path, *more)
        if not seen:
            seen.append(refused(*words, "-o", model, "--overwrite"))
            seen.append(refused(*words, "-o", tmp_path / "other.npz", "--metrics", log))
            good("sample", model, "--length", 2)  # reading is free

    monkeypatch.setattr("rnncli.training.checkpoint.save", save)
    good(*words, "-o", model, "--metrics", log)
    assert "m.npz: another training is writing it." in seen[0]
    assert "log: another training is writing it." in seen[1]
    assert {p.name for p in tmp_path.iterdir()} == {"m.npz", "log"}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--hidden", 10_000_000), "out of memory"),
        (("--preset", "nope"), 'no preset "nope" (there are: '),
        (("--tied", "--embed", 3), "tied needs an embedding as wide"),
        (("--proj", 3, "--cell", "gru"), "proj is for the lstm"),
        (("--random-bptt", "--batching", "random"), "random_bptt needs consecutive"),
        (("--metrics", "/nowhere/log"), "no folder /nowhere"),
    ],
)
def test_settings_that_make_no_sense_are_refused(files, tmp_path, words, message):
    assert message in refused("train", files / "data.npz", "-o", tmp_path / "m.npz", *words)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--hidden", 0), "it must be 1 or more, not 0"),
        (("--hidden", 99999999999999999999), "it must be below"),
        (("--dropout", 1), "it must be below 1"),
        (("--lr", "nan"), "it must be a number"),
        (("--max-time", "0s"), "it must be above 0"),
    ],
)
def test_values_out_of_their_limits_are_wrong_use(files, tmp_path, words, message):
    done = run("train", files / "data.npz", "-o", tmp_path / "m.npz", *words)
    assert done.code == 2
    assert f"Invalid value for '{words[0]}': {message}" in done.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("nope",),
        ("--nope",),
        ("train",),
        ("train", "d.npz"),
        ("train", "d.npz", "-o", "m.npz", "--hidden", "x"),
        ("train", "d.npz", "-o", "m.npz", "--cell", "lstn"),
        ("train", "d.npz", "-o", "m.npz", "--max-time", "soon"),
        ("sample", "m.npz", "-n", "0"),
        ("sample", "m.npz", "--top-p", "2"),
        ("eval", "m.npz"),
        ("eval", "m.npz", "n.npz", "d.npz", "--text", "t.txt"),
        ("tokenize", "t.txt"),
        ("tokenize", "t.txt", "-o", "d.npz", "--split", "a,b"),
        ("tokenize", "t.txt", "-o", "d.npz", "--level", "line"),
    ],
)
def test_wrong_use_exits_2_and_shows_the_way(words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ended = run(*words)
    assert ended.code == 2
    assert ended.out == ""
    assert ended.err.startswith("Usage: rnncli")
    assert "Traceback" not in ended.err
    assert list(tmp_path.iterdir()) == []


def test_what_a_file_holds_never_reaches_the_terminal_raw(tmp_path):
    table = tmp_path / "t.csv"
    table.write_text('"\x1b[31mred",b\nx,y\n')
    line = refused("tokenize", table, "-o", tmp_path / "d.npz")
    assert "\\x1b[31mred" in line
    assert "\x1b" not in line


# --- pipes, closed and full outputs: processes of their own ---


def shell(command, files):
    """A shell command in which `rnncli` is the program, in the folder of files."""
    program = f"rnncli() {{ '{sys.executable}' -m rnncli \"$@\"; }}; "
    done = subprocess.run(
        ["bash", "-c", program + command], cwd=files, capture_output=True, timeout=60, check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)}, text=True,
    )  # fmt: skip
    return done.stdout, done.stderr


def test_a_reader_that_leaves_ends_the_writer_quietly(files):
    codes = '; echo "${PIPESTATUS[0]}"'
    many, long = "-n 3000 --length 3", "--length 20000 --no-stop-at-end"
    for command in (f"sample model.npz {many}", f"sample model.npz {long}", "train --help"):
        out, err = shell(f"rnncli {command} | true{codes}", files)
        assert out.splitlines()[-1] == "141"
        assert err == ""


def test_a_signal_while_the_file_is_written_removes_what_there_is_of_it(files, tmp_path):
    probe = (
        "import os, signal, sys\nfrom rnncli import cli\n"
        "os.fsync = lambda file: os.kill(os.getpid(), signal.SIGTERM)\n"
        f"sys.argv = ['rnncli', 'tokenize', '{files / 'text.txt'}', '-o', '{tmp_path / 'd.npz'}']\n"
        "cli.run()\n"
    )
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True,
                          env={**os.environ, "PYTHONPATH": str(ROOT)}, check=False)  # fmt: skip
    assert (done.returncode, done.stderr) == (-signal.SIGTERM, "")
    assert list(tmp_path.iterdir()) == []


def test_a_full_or_closed_output_is_an_error(files):
    for command in (
        "rnncli sample model.npz",
        "rnncli eval model.npz data.npz",
        "rnncli --version",
    ):
        out, err = shell(f"{command} > /dev/full; echo $?", files)
        assert (out, err.count("\n")) == ("1\n", 1)
        assert "standard output: No space left on device." in err
    out, err = shell("rnncli sample model.npz >&-; echo $?", files)
    assert out == "1\n"
    assert "standard output is closed" in err


def test_without_standard_error_a_run_goes_its_way(files, tmp_path):
    model = tmp_path / "m.npz"
    command = f"rnncli train data.npz -o {model} --hidden 8 --max-steps 2 2>&-; echo $?"
    out, _ = shell(command, files)
    assert out == "0\n"
    assert model.exists()


def test_the_module_is_the_command(files):
    done = ended(process("--version", cwd=files))
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith("rnncli, version ")
    assert ended(process("nope")).code == 2
    assert ended(process("sample", "missing.npz", cwd=files)).code == 1


def test_completion_offers_commands_and_choices(files):
    def offered(words, at):
        env = {"_RNNCLI_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(at)}
        done = ended(process(env=env, cwd=files))
        assert done.code == 0, done.err
        return [line.split(",")[1] for line in done.out.splitlines()]

    assert {"tokenize", "train", "sample", "eval"} <= set(offered("rnncli ", 1))
    assert offered("rnncli train --cell ", 3) == ["lstm", "gru", "gru-before", "rnn"]
    script = ended(process(env={"_RNNCLI_COMPLETE": "bash_source"}))
    assert script.code == 0
    assert "_rnncli_completion" in script.out


def test_each_command_is_loaded_when_it_is_called_for_and_says_what_the_list_says():
    probe = "import sys, rnncli.cli\nprint([m for m in sys.modules if m.startswith('rnncli.cli.')])"
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True,
                          env={**os.environ, "PYTHONPATH": str(ROOT)}, check=False)  # fmt: skip
    assert done.stdout == "['rnncli.cli.signals']\n", done.stderr
    listed = " ".join(good("--help").out.split())
    for name, what in COMMANDS.items():
        command = main.get_command(Context(main), name)
        assert command.name == name
        assert command.get_short_help_str(200) == what
        assert f"{name} {what}" in listed


def test_help_and_completion_do_not_load_numpy():
    probe = (
        "import sys\nfrom rnncli import cli\nfrom rnncli.cli import COMMANDS\n"
        "for name in ['', *COMMANDS]:\n"
        "    for flag in ('-h', '--help'):\n"
        "        sys.argv = ['rnncli', *([name] if name else []), flag]\n"
        "        try: cli.run()\n        except SystemExit as stop: assert stop.code == 0\n"
        "heavy = {'numpy', 'regex', 'yaml', 'multiprocessing', 'concurrent'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True,
                          env={**os.environ, "PYTHONPATH": str(ROOT)}, check=False)  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("Usage: rnncli") >= 10
