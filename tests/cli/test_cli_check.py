"""`rnncli check` looks at the network that is meant, and its exit code can be trusted."""

import pytest
from click.testing import CliRunner

from rnncli.cli.check import check
from rnncli.config.network import Config
from rnncli.errors import ArtefactError, ConfigError
from rnncli.lm import language_model
from rnncli.nn import Model, shapes
from rnncli.training.check import made_up
from rnncli.training.settings import settings_for


def run(*arguments):
    result = CliRunner().invoke(check, [str(a) for a in arguments])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.output


def written(tmp_path, text):
    path = tmp_path / "run.yaml"
    path.write_text(text, "utf-8")
    return path


def parameters(output):
    return [line.split()[3] for line in output.splitlines() if " gradient of " in line]


def test_a_sound_model_file_passes(tmp_path):
    tokenizer, path = made_up(20), tmp_path / "model.npz"
    model = Model.initial(Config(20, cell="gru", hidden=12, layers=2), 3)
    language_model.save(path, language_model.LanguageModel(model, tokenizer))
    code, output = run(path)
    assert code == 0
    assert all(line.startswith("ok ") for line in output.splitlines())
    assert parameters(output) == [*model.params, "state.h"]
    assert "ln 20" in output


def test_a_configuration_that_fails_is_said_and_exits_1(tmp_path):
    path = written(tmp_path, "hidden: 12\ninit: uniform\ninit-scale: 3.0\n")
    code, output = run("--config", path)
    assert code == 1
    assert [line for line in output.splitlines() if line.startswith("FAIL  first loss")]


def test_the_file_wins_over_the_preset_and_names_one_itself(tmp_path):
    text = "hidden: 12\nembed: 6\nlr: 0.1\nmetrics: log.jsonl\n"
    by_option = run("--config", written(tmp_path, text), "--preset", "makemore-gru")
    by_file = run("--config", written(tmp_path, text + "preset: makemore-gru\n"))
    assert by_option == by_file
    # The cell is the preset's: its gru has no bias inside the reset gate.
    wanted = ["embed.W", "rnn.0.fwd.Wx", "rnn.0.fwd.Wh", "rnn.0.fwd.b", "head.W", "head.b"]
    assert parameters(by_option[1]) == [*wanted, "state.h"]


def test_the_size_of_the_vocabulary_can_be_chosen(tmp_path):
    _, output = run("--config", written(tmp_path, "hidden: 12\nembed: 12\n"), "--vocab-size", 33)
    assert "ln 33" in output


def test_a_preset_alone_is_enough():
    code, output = run("--preset", "britz")
    assert code == 0
    assert "rnn.0.fwd.Wx" in output


def test_two_networks_at_once_are_a_wrong_use(tmp_path):
    for words in (("--preset", "britz"), ("--cell", "lstm"), ("--no-tied",)):
        assert run(tmp_path / "model.npz", *words)[0] == 2


def test_without_a_word_the_network_is_that_for_words():
    code, output = run()
    assert code == 0
    assert output == run("--preset", "words")[1]
    config, _ = settings_for(made_up(100))
    assert parameters(output) == [*shapes(config), "state.h"]


def test_the_network_may_be_given_by_options(tmp_path):
    code, output = run("--cell", "lstm", "--hidden", 12, "--layers", 2, "--no-tied", "--embed", 6)
    assert code == 0
    config, _ = settings_for(
        made_up(100), None, {"cell": "lstm", "hidden": 12, "layers": 2, "tied": False, "embed": 6}
    )
    assert parameters(output) == [*shapes(config), "state.h", "state.c"]
    path = written(tmp_path, "cell: lstm\nhidden: 30\nlayers: 2\ntied: false\nembed: 6\n")
    assert run("--config", path, "--hidden", 12) == (code, output)
    path = written(tmp_path, "model: lstm\nrnn_size: 12\ntied: false\nembed: 6\n")
    with pytest.raises(ConfigError, match=r'no option "model"\. Is "cell" meant'):
        run("--config", path)


def test_the_file_is_read_as_train_reads_it(tmp_path):
    text = "hidden: 12\nembed: 12\ninit: normal\ninit-scale: 1e-2\nmax-time: 10m\nmetrics: a.txt\n"
    assert run("--config", written(tmp_path, text))[0] == 0


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("hiden: 12\n", 'no option "hiden"'),
        ("preset: 3\n", "preset takes text"),
        ("preset: nosuch\n", 'no preset "nosuch"'),
        ("hidden: many\n", "hidden takes a whole number"),
        ("bptt: 10\nrandom-bptt: true\nbatching: random\n", "random_bptt needs consecutive"),
    ],
)
def test_a_configuration_that_makes_no_sense_is_one_line(tmp_path, text, complaint):
    with pytest.raises(ConfigError, match=complaint):
        run("--config", written(tmp_path, text))


def test_a_configuration_that_is_not_text_is_named(tmp_path):
    path = tmp_path / "run.yaml"
    path.write_bytes(b"hidden: \xff\n")
    with pytest.raises(ConfigError, match=r"run\.yaml: not UTF-8"):
        run("--config", path)


def test_a_missing_model_file_is_named(tmp_path):
    with pytest.raises(ArtefactError, match=r"nosuch\.npz"):
        run(tmp_path / "nosuch.npz")
