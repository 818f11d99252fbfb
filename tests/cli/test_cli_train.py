"""`rnncli train` as its users meet it: settings, stops and resumes, logs, progress."""

import contextlib
import json
import os
import pty
import re
import signal
import threading

import pytest
from commands import TINY, ended, good, process, refused, run, sentences, wait_for

from rnncli.lm import language_model
from rnncli.training import checkpoint, loop, recipes, resume
from rnncli.training import session as api
from rnncli.training.settings import settings_for


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A small data file of documents."""
    folder = tmp_path_factory.mktemp("data")
    (folder / "t.txt").write_text(sentences(60))
    good("tokenize", folder / "t.txt", "-o", folder / "d.npz", "--split", "0.8,0.2")
    return folder / "d.npz"


@pytest.fixture(scope="module")
def stream(tmp_path_factory):
    """A small data file of running text."""
    folder = tmp_path_factory.mktemp("stream")
    (folder / "t.txt").write_text(sentences(40, seed=1))
    good("tokenize", folder / "t.txt", "-o", folder / "d.npz", "--whole-file", "--level", "char")
    return folder / "d.npz"


def settings(model):
    """The configuration and the recipe in a model file, as one dictionary."""
    language, run = checkpoint.resume(model)
    return {**language.model.config.to_json(), **run.recipe.to_json()}


# --- settings ---


def test_one_file_and_no_option_give_a_model(data, tmp_path):
    done = good("train", data, "-o", tmp_path / "m.npz", "--max-steps", 3)
    assert done.out == ""
    assert "3 steps" in done.err
    assert settings(tmp_path / "m.npz")["embed"] == recipes.load("words").settings["embed"]


def test_settings_come_from_flags_then_environment_then_config_then_preset_then_defaults(
    data, tmp_path, monkeypatch
):
    model, config = tmp_path / "m.npz", tmp_path / "run.yaml"
    names = ("hidden", "batch", "bptt", "lr", "clip")
    words = ["train", data, "-o", model, "--overwrite", "--max-steps", 1]

    def found(*more):
        good(*words, *more)
        return [settings(model)[name] for name in names]

    words_have, characters_have = (
        [recipes.load(kind).settings[name] for name in names] for kind in ("words", "characters")
    )
    assert words_have[2:4] != characters_have[2:4]
    assert found("--hidden", 8) == [8, *words_have[1:]]
    config.write_text("hidden: 9\nbatch: 5\nbptt: 6\nlr: 1e-2\npreset: characters\n")
    assert found("--config", config) == [9, 5, 6, 0.01, 1.0]
    monkeypatch.setenv("RNNCLI_TRAIN_HIDDEN", "10")
    monkeypatch.setenv("RNNCLI_TRAIN_BATCH", "4")
    assert found("--config", config) == [10, 4, 6, 0.01, 1.0]
    assert found("--config", config, "--hidden", 11) == [11, 4, 6, 0.01, 1.0]
    config.write_text("clip: 2\n")
    expected = [10, 4, *characters_have[2:4], 2.0]
    assert found("--config", config, "--preset", "characters") == expected


def test_a_config_file_may_hold_every_kind_of_option(data, tmp_path):
    model, config = tmp_path / "m.npz", tmp_path / "run.yaml"
    config.write_text(
        f"data: {data}\noutput: {model}\ncell: gru\nhidden: 7\nembed: 7\ntied: true\nlr: 1e-3\n"
        "max-time: 90s\nmax_steps: 2\nsample-every: 1\nsample_prefix: [the, 'a dog']\n"
        f"metrics: {tmp_path / 'log'}\nlayer_norm: false\nquiet: false\n"
    )
    done = good("train", "--config", config)
    assert done.err.count("  | the ") == 2
    assert done.err.count("  | a dog") == 2
    found = settings(model)
    assert [found[k] for k in ("cell", "hidden", "tied", "lr", "max_time")] == [
        "gru", 7, True, 0.001, 90.0,
    ]  # fmt: skip
    assert (tmp_path / "log").read_text().count("\n") >= 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("hiden: 3", 'no option "hiden". Is "hidden" meant?'),
        ("zzz: 3", 'no option "zzz". See --help'),
        ("config: x.yaml", 'no option "config"'),
        ("hidden: 3\nlr: 1\nhidden: 4", 'line 3: "hidden" is there twice'),
        ("max-steps: 3\nmax_steps: 4", 'line 2: "max_steps" is there twice'),
        ("hidden: 2.5", "hidden takes a whole number, not 2.5"),
        ("hidden: '3'", "hidden takes a whole number, not '3'"),
        ("hidden: true", "hidden takes a whole number, not True"),
        ("hidden: [3]", "hidden takes a whole number, not [3]"),
        ("hidden:", "hidden takes a whole number, not None"),
        ("lr: fast", "lr: 'fast' is not a number"),
        ("lr: yes", "lr takes a number, not True"),
        ("cell: 3", "cell takes text in quotes, not 3"),
        ("cell: no", "cell takes text in quotes, not False"),
        ("cell: lstn", "cell: 'lstn' is not one of"),
        ("tied: 1", "tied takes true or false, not 1"),
        ("tied: 'yes'", "tied takes true or false, not 'yes'"),
        ("max_time: soon", 'max_time: "soon" is not a time'),
        ("sample_every: 0", "sample_every: 0 is neither steps"),
        ("sample_prefix: [a, 3]", "sample_prefix takes text in quotes, not 3"),
        ("- hidden", "expected lines of the form"),
        ("just words", "expected lines of the form"),
        ("a: b: c", "line 1: not YAML"),
        ("hidden: !!python/object:os.system 3", "not YAML"),
        ("[" * 3000, "not YAML"),
        ('"\\e[2J": 1', 'no option "\\x1b[2J"'),
    ],
)
def test_a_config_file_with_a_mistake_is_refused_in_one_line(data, tmp_path, text, message):
    config = tmp_path / "run.yaml"
    config.write_text(text)
    line = refused("train", data, "-o", tmp_path / "m.npz", "--config", config)
    assert "run.yaml" in line
    assert message in line
    assert sorted(p.name for p in tmp_path.iterdir()) == ["run.yaml"]


@pytest.mark.parametrize("name", ["folder", "missing.yaml", "binary.yaml"])
def test_a_config_file_that_cannot_be_read_is_refused(data, tmp_path, name):
    (tmp_path / "folder").mkdir()
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    assert name in refused("train", data, "-o", tmp_path / "m.npz", "--config", tmp_path / name)


def test_an_empty_config_file_says_nothing(data, tmp_path):
    (tmp_path / "run.yaml").write_text("# nothing yet\n")
    good("train", data, "-o", tmp_path / "m.npz", *TINY, "--max-steps", 1, "--config",
         tmp_path / "run.yaml")  # fmt: skip


def test_presets_are_listed_with_what_they_are():
    listed = good("train", "--list-presets").out
    assert "the default for words" in listed
    assert "the default for characters and bytes" in listed


# --- stops and resumes ---


class Stopped(Exception):
    """The machine goes down."""


def stopping(monkeypatch, after):
    """Let the training loop give `after` reports, and then a signal or a crash."""
    whole = loop.train

    def cut(*args, **options):
        for number, report in enumerate(whole(*args, **options), 1):
            if number == after:
                os.kill(os.getpid(), signal.SIGTERM)
            yield report

    monkeypatch.setattr(loop, "train", cut)


RUNS = {
    "lstm": ("--dropout", 0.2, "--valid-every", 5, "--sample-every", 3),
    "gru consecutive": ("--cell", "gru", "--batching", "consecutive", "--schedule", "cosine"),
    "rnn sgd halve": ("--cell", "rnn", "--optimizer", "sgd", "--schedule", "halve-on-rise"),
    "gru-before random": ("--cell", "gru-before", "--batching", "random", "--optimizer", "rmsprop"),
    "lstm asgd": ("--optimizer", "asgd", "--trigger", 0, "--valid-every", 4, "--patience", 6),
}


@pytest.mark.parametrize("options", RUNS.values(), ids=RUNS.keys())
@pytest.mark.parametrize("kind", ["data", "stream"])
def test_a_stopped_run_resumes_to_the_same_bytes(request, tmp_path, options, kind, monkeypatch):
    data = request.getfixturevalue(kind)
    whole, model = tmp_path / "whole.npz", tmp_path / "m.npz"
    words = [data, *TINY, "--layers", 2, "--epochs", 3, *options]
    good("train", *words, "-o", whole, "--metrics", tmp_path / "whole.log")
    # A killed process is killed for good: here the stop is an exception where it would have died.
    for stops in ((4, 9), (13,)):
        model.unlink(missing_ok=True)
        for after in stops:
            with monkeypatch.context() as patch:
                stopping(patch, after)
                patch.setattr(os, "kill", lambda pid, number: signal.raise_signal(number))
                patch.setattr(signal, "signal", _kept(signal.signal))
                with pytest.raises(Stopped):
                    run("train", *words, "-o", model, "--resume", "--metrics", tmp_path / "log")
        done = good("train", *words, "-o", model, "--resume", "--metrics", tmp_path / "log")
        assert "going on after step" in done.err
        assert model.read_bytes() == whole.read_bytes()
        assert (tmp_path / "log").read_bytes() == (tmp_path / "whole.log").read_bytes()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["log", "m.npz", "whole.log", "whole.npz"]


def _kept(install):
    """`signal.signal`, but to die by a signal is to raise Stopped."""

    def die(number, frame):
        raise Stopped

    return lambda number, handler: install(number, die if handler == signal.SIG_DFL else handler)


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_a_signal_finishes_the_step_saves_and_says_how_to_go_on(data, tmp_path, number, code):
    model = tmp_path / "m.npz"
    words = ("train", data, "-o", model, *TINY, "--max-steps", 4000, "--valid-every", 50)
    started = process(*words, preexec_fn=_default_signals)
    wait_for(model.exists)
    started.send_signal(number)
    done = ended(started)
    assert done.code == -number == 128 - code  # a shell makes 130 and 143 of these
    assert done.err.splitlines()[-1] == (
        f"stopped; {model} is saved. Go on with the same command and --resume."
    )
    step = checkpoint.resume(model)[1].step
    assert 50 <= step < 4000
    assert [p.name for p in tmp_path.iterdir()] == ["m.npz"]
    good(*words[:-4], "--max-steps", step + 20, "--resume")
    assert checkpoint.resume(model)[1].step == step + 20


def test_a_terminal_that_goes_ends_no_run_unsaved(data, tmp_path):
    """The terminal is closed: SIGHUP comes, and nothing can be written any more."""
    model, (master, slave) = tmp_path / "m.npz", pty.openpty()
    words = ("train", data, "-o", model, *TINY, "--max-steps", 100_000, "--valid-every", 50)
    started = process(*words, stderr=slave, preexec_fn=_default_signals)
    os.close(slave)
    wait_for(model.exists)
    before = checkpoint.resume(model)[1].step
    os.close(master)
    started.send_signal(signal.SIGHUP)
    assert ended(started).code == -signal.SIGHUP
    assert checkpoint.resume(model)[1].step > before


@pytest.mark.parametrize("kind", ["full", "closed", "gone"])
def test_a_run_goes_on_when_nobody_can_read_its_progress(data, tmp_path, kind):
    model = tmp_path / "m.npz"
    words = ("train", data, "-o", model, *TINY, "--max-steps", 300, "--valid-every", 20)
    read, write = os.pipe()
    options = {"full": {"stderr": os.open("/dev/full", os.O_WRONLY)}, "gone": {"stderr": write},
               "closed": {"stderr": None, "preexec_fn": lambda: os.close(2)}}[kind]  # fmt: skip
    started = process(*words, **options)
    os.close(write)
    os.close(read)
    assert ended(started).code == 0
    assert checkpoint.resume(model)[1].finished == "300 steps"


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("change", ["cut", "changed"])
def test_data_that_changes_while_it_is_trained_on_ends_the_run_saved(
    data, tmp_path, threads, change
):
    model, copy = tmp_path / "m.npz", tmp_path / "d.npz"
    whole = data.read_bytes()
    copy.write_bytes(whole)
    words = ("train", copy, "-o", model, *TINY, "--valid-every", 20, "--threads", threads)
    started = process(*words, "--max-steps", 100_000)
    wait_for(model.exists)
    copy.touch()  # the same bytes: nothing has changed
    seen = checkpoint.resume(model)[1].step
    wait_for(lambda: checkpoint.resume(model)[1].step > seen)
    if change == "cut":
        os.truncate(copy, 4096)
    else:
        with copy.open("r+b") as file:
            file.seek(len(whole) // 4)
            file.write(bytes(256 - byte - 1 for byte in whole[len(whole) // 4 :][:4096]))
    done = ended(started)
    assert done.code == 1, done
    line = done.err.splitlines()[-1]
    assert line.startswith(f"rnncli: {copy}: damaged: it was changed while it was in use.")
    assert f"What was learnt is in {model}: --resume goes on." in line
    step = checkpoint.resume(model)[1].step
    copy.write_bytes(whole)
    good(*words, "--resume", "--max-steps", step + 10)
    assert checkpoint.resume(model)[1].step == step + 10


def test_a_killed_run_resumes_to_the_same_bytes(data, tmp_path):
    model, whole = tmp_path / "m.npz", tmp_path / "whole.npz"
    words = (data, *TINY, "--max-steps", 600, "--valid-every", 20, "--metrics")
    started = process("train", *words, tmp_path / "log", "-o", model)
    wait_for(model.exists)
    started.kill()
    ended(started)
    good("train", *words, tmp_path / "log", "-o", model, "--resume")
    good("train", *words, tmp_path / "whole.log", "-o", whole)
    assert model.read_bytes() == whole.read_bytes()
    assert (tmp_path / "log").read_bytes() == (tmp_path / "whole.log").read_bytes()


def test_what_was_logged_after_the_last_save_is_not_logged_twice(data, tmp_path, monkeypatch):
    whole, log = tmp_path / "whole.log", tmp_path / "log"
    words = ("train", data, *TINY, "--max-steps", 8, "--valid-every", 2, "--metrics")
    good(*words, whole, "-o", tmp_path / "whole.npz")
    lines = whole.read_text().splitlines(keepends=True)
    steps = iter(range(9))
    with monkeypatch.context() as patch:  # stop between a step and its validation
        step = loop._step
        patch.setattr(loop, "_step", lambda *given: _interrupt(next(steps) == 3, step(*given)))
        patch.setattr(os, "kill", lambda pid, number: signal.raise_signal(number))
        patch.setattr(signal, "signal", _kept(signal.signal))
        with pytest.raises(Stopped):
            run(*words, log, "-o", tmp_path / "m.npz")
    assert log.read_text() == lines[0]  # the validation of step 4 is owed
    log.write_text("".join(lines[:3]))  # as if a crash had come after those of steps 4 and 6
    good(*words, log, "-o", tmp_path / "m.npz", "--resume")
    assert log.read_text() == whole.read_text()


def _interrupt(now, report):
    if now:
        signal.raise_signal(signal.SIGTERM)
    return report


def _default_signals():
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def test_resume_starts_where_there_is_nothing_to_resume(data, tmp_path):
    model = tmp_path / "m.npz"
    done = good("train", data, "-o", model, *TINY, "--max-steps", 2, "--resume")
    assert "nothing to resume yet; starting" in done.err
    good("train", data, "-o", tmp_path / "other.npz", *TINY, "--max-steps", 2)
    assert model.read_bytes() == (tmp_path / "other.npz").read_bytes()


def test_a_resume_elsewhere_says_what_may_differ(data, tmp_path, monkeypatch):
    words = ("train", data, "-o", tmp_path / "m.npz", *TINY, "--max-steps")
    good(*words, 2)
    assert "rounding" not in good(*words, 3, "--resume").err
    with monkeypatch.context() as patch:
        patch.setattr(resume, "platform_name", lambda: "NumPy 9, abacus")
        assert "this is NumPy 9, abacus: rounding may differ" in good(*words, 4, "--resume").err
        assert "rounding" not in good(*words, 5, "--resume").err
    assert "begun with NumPy 9, abacus;" in good(*words, 6, "--resume").err


def test_a_complete_run_has_nothing_to_resume_until_its_limit_grows(data, tmp_path):
    model = tmp_path / "m.npz"
    words = ("train", data, "-o", model, *TINY, "--schedule", "constant", "--resume", "--epochs")
    good(*words, 2)
    before = model.read_bytes()
    for more in ((2,), (2, "--quiet")):
        done = good(*words, *more)
        assert ("complete" in done.err) == ("--quiet" not in more)
        assert model.read_bytes() == before
    assert "complete" in good("train", data, "-o", model, "--resume").err
    assert "going on after step" in good(*words, 5).err
    good("train", data, "-o", tmp_path / "long.npz", *TINY, "--schedule", "constant", "--epochs", 5)
    assert model.read_bytes() == (tmp_path / "long.npz").read_bytes()


def test_resume_with_other_data_or_settings_is_refused(data, stream, tmp_path):
    model = tmp_path / "m.npz"
    good("train", data, "-o", model, *TINY, "--max-steps", 2)
    before = model.read_bytes()
    line = refused("train", stream, "-o", model, "--resume", "--max-steps", 4)
    assert "was trained on other data" in line
    line = refused("train", data, "-o", model, "--resume", "--hidden", 9, "--max-steps", 4)
    assert "was begun with hidden 8, not 9" in line
    line = refused("train", data, "-o", model, "--resume", "--preset", "characters")
    assert "was begun with" in line
    assert model.read_bytes() == before


def test_resume_from_what_is_no_model_is_refused(data, tmp_path):
    (tmp_path / "m.npz").write_text("not a model")
    assert "not an rnncli file" in refused("train", data, "-o", tmp_path / "m.npz", "--resume")
    checkpoint.save(tmp_path / "plain.npz", api.train(data, max_steps=1, hidden=4))
    line = refused("train", data, "-o", tmp_path / "plain.npz", "--resume")
    assert "without its run" in line


def test_an_unfinished_run_is_not_lost_to_a_slip(data, tmp_path):
    model = tmp_path / "m.npz"
    language, run_ = _half(data)
    checkpoint.save(model, language, run_)
    before = model.read_bytes()
    line = refused("train", data, "-o", model, *TINY, "--max-steps", 5)
    assert "holds an unfinished run (2 steps)" in line
    assert model.read_bytes() == before
    good("train", data, "-o", model, *TINY, "--max-steps", 5, "--overwrite")


def test_a_file_that_is_there_is_not_lost_to_a_slip(data, tmp_path):
    model, other, text = tmp_path / "m.npz", tmp_path / "n.npz", tmp_path / "notes.txt"
    words = ("train", data, *TINY, "--max-steps", 3)
    good(*words, "-o", model)
    before = model.read_bytes()
    line = refused(*words, "-o", model)
    assert "holds a finished model (3 steps)" in line
    for way in ("--resume", f"--from {model}", "--overwrite"):
        assert way in line
    assert "this file is read" in refused(*words, "-o", model, "--from", model)
    assert model.read_bytes() == before
    good(*words, "-o", other, "--from", model)
    assert model.read_bytes() == before
    text.write_text("my notes")
    assert "is there already" in refused(*words, "-o", text)
    assert "this file is read" in refused(*words, "-o", data)
    assert text.read_text() == "my notes"
    good(*words, "-o", text, "--overwrite")
    assert text.read_bytes() == before


def _half(data):
    from rnncli.data.dataset import Dataset

    dataset = Dataset.open(data)
    run = api.fresh(dataset, *settings_for(dataset.tokenizer, None, {"hidden": 4}))
    session = api.begin(dataset, run)
    reports = loop.train(session.run, session.plan)
    next(reports), next(reports)
    return session.best(), session.run


# --- what a run says ---


def test_the_log_has_a_line_for_each_event(data, tmp_path):
    log = tmp_path / "log.jsonl"
    log.write_text("from another run\n")
    good("train", data, "-o", tmp_path / "m.npz", *TINY, "--epochs", 9, "--valid-every", 30,
         "--metrics", log)  # fmt: skip
    rows = [json.loads(line) for line in log.read_text().splitlines()]
    last = rows[-1]["step"]
    assert rows[-1] == {"kind": "end", "step": last, "epoch": 9, "reason": f"{last} steps"}
    judged = [row["step"] for row in rows if row["kind"] == "valid"]
    assert judged == [*range(30, last, 30), last]
    assert [r["step"] for r in rows if r["kind"] == "step"] == list(range(50, last + 1, 50))
    assert [row["epoch"] for row in rows if row["kind"] == "epoch"] == list(range(1, 10))
    history = language_model.load(tmp_path / "m.npz").history
    assert [row["nats"] for row in rows if row["kind"] == "valid"] == [r["valid"] for r in history]


def test_samples_are_shown_as_the_model_learns(data, tmp_path):
    prefixes = ("--sample-prefix", "my aunt", "--sample-prefix", "zzz")
    words = ("train", data, "-o", tmp_path / "m.npz", *TINY, "--max-steps", 6)
    done = good(*words, "--sample-every", 2, "--sample-length", 4, *prefixes)
    lines = [line for line in done.err.splitlines() if line.startswith("  | ")]
    assert len(lines) == 6
    assert [line.startswith("  | my aunt") for line in lines] == [True, False] * 3
    assert all(len(line.split()) <= 2 + 1 + 4 for line in lines)


def test_samples_are_logged_shown_or_not(data, tmp_path):
    words = ("train", data, *TINY, "--max-steps", 6, "--sample-every", 2, "--sample-length", 4)
    words = (*words, "--sample-prefix", "my aunt", "--sample-prefix", "zzz", "--metrics")
    done = good(*words, tmp_path / "log", "-o", tmp_path / "m.npz")
    good(*words, tmp_path / "quiet.log", "-o", tmp_path / "quiet.npz", "-q")
    assert (tmp_path / "log").read_bytes() == (tmp_path / "quiet.log").read_bytes()
    rows = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    found = [row for row in rows if row["kind"] == "sample"]
    assert [(row["step"], row["epoch"], row["prefix"]) for row in found] == [
        (step, 0, prefix) for step in (2, 4, 6) for prefix in ("my aunt", "zzz")
    ]
    for row in found:
        assert f"  | {row['prefix']}{row['text']}" in done.err.splitlines()


def test_the_log_says_which_gradients_were_clipped(data, tmp_path):
    words = ("train", data, "-o", tmp_path / "m.npz", *TINY, "--max-steps", 50, "--overwrite",
             "--metrics", tmp_path / "log")  # fmt: skip
    for more, clipped in (
        (("--clip", 1e-3), True),
        (("--clip", 1e3), False),
        (("--clip", 0), False),
        (("--clip", 1e-3, "--clip-by", "element"), None),
    ):
        good(*words, *more)
        rows = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
        assert [row.get("clipped") for row in rows if row["kind"] == "step"] == [clipped]


def test_samples_change_nothing_in_the_model(data, tmp_path):
    for name, more in (
        ("a", ()),
        ("b", ("--sample-every", 1, "--sample-prefix", "the")),
        ("c", ("-q",)),
    ):
        good("train", data, "-o", tmp_path / name, *TINY, "--max-steps", 5, *more)
    assert len({(tmp_path / name).read_bytes() for name in "abc"}) == 1


def test_a_prefix_that_cannot_be_read_is_known_before_the_work(data, tmp_path):
    words = ("train", data, "-o", tmp_path / "m.npz", *TINY, "--sample-every", 3)
    done = run(*words, "--sample-prefix", "fine", "--sample-prefix", "<s>")
    assert done.code == 1
    assert done.err.splitlines()[-1].startswith("rnncli: --sample-prefix: special token")
    assert "parameters" not in done.err  # nor has a run been described
    assert list(tmp_path.iterdir()) == []


def test_quiet_says_nothing(data, tmp_path):
    done = good("train", data, "-o", tmp_path / "m.npz", *TINY, "--max-steps", 2, "-q")
    assert (done.out, done.err) == ("", "")


def test_off_a_terminal_there_are_plain_lines_only(data, tmp_path):
    done = good("train", data, "-o", tmp_path / "m.npz", *TINY, "--epochs", 2)
    assert "\r" not in done.err
    assert "\x1b" not in done.err
    assert "validation" in done.err
    assert "perplexity" in done.err


@pytest.mark.parametrize("no_colour", ["", "1"])
def test_on_a_terminal_a_panel_is_drawn_over_and_taken_away(data, tmp_path, no_colour):
    master, slave = pty.openpty()
    shown: list[bytes] = []
    words = (
        "train",
        data,
        "-o",
        tmp_path / "m.npz",
        *TINY,
        "--max-steps",
        400,
        "--valid-every",
        400,
    )
    started = process(*words, stderr=slave, env={"TERM": "xterm", "NO_COLOR": no_colour})
    os.close(slave)

    def read():
        with contextlib.suppress(OSError):  # the other end is closed
            while True:
                shown.append(os.read(master, 1 << 16))

    reader = threading.Thread(target=read)
    reader.start()
    done = ended(started)
    reader.join()
    os.close(master)
    assert (done.code, done.out) == (0, "")
    screen = b"".join(shown).decode()
    panels = screen.split("\x1b[J")[1:]
    assert all(word in panels[-3] for word in ("loss", "ppl", "tokens/s", "left"))
    assert ("\x1b[36m" in screen) == (not no_colour)
    lines = re.sub(r"\x1b\[\d*m", "", "\n".join(panels[:-2])).splitlines()
    assert max(len(line) for line in lines if "tokens/s" in line or "loss" in line) < 80
    assert panels[-1].strip().startswith("done: 400 steps")
