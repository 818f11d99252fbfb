"""`rnncli convert`: model.npz <-> model.safetensors."""

from __future__ import annotations

from pathlib import Path

import click

from rnncli.cli.options import FILE, Command, check_output, option, quiet_option
from rnncli.cli.terminal import note

SUFFIX = ".safetensors"


@click.command(cls=Command)
@click.argument("source", metavar="INPUT", type=FILE)
@click.argument("output", type=FILE)
@option(
    "--vocab", type=FILE,
    help="For a model of others: its tokens in the order of their ids, one a line; or a .json file "
    "with a list, or with an object of token to id.",
)  # fmt: skip
@option(
    "--level", type=click.Choice(["word", "char"]),
    help="With --vocab: what a token is [what the tokens look like].",
)  # fmt: skip
@option(
    "--unit", type=click.Choice(["sentence", "document", "stream"]),
    help="With --vocab: what stands in <s> and </s> [document where the vocabulary has "
    "both, else stream].",
)  # fmt: skip
@quiet_option
def convert(
    source: str, output: str, vocab: str | None, level: str | None, unit: str | None, quiet: bool
) -> None:
    """Turn a model file into PyTorch's names and layout, or back.

    A .safetensors file has the parameters of encoder (nn.Embedding; none for a one-hot input), rnn
    (nn.LSTM, nn.GRU or nn.RNN) and decoder (nn.Linear), and the vocabulary in its metadata. Back
    again it is the same model; what --resume needs stays behind. Neither way needs PyTorch.

    \b
    rnncli convert model.npz model.safetensors
    rnncli convert model.safetensors back.npz
    rnncli convert char-rnn.safetensors model.npz --vocab chars.json
    """
    kinds = [Path(name).suffix for name in (source, output)]
    if sorted(kinds) != [".npz", SUFFIX]:
        raise click.UsageError(f"convert turns an .npz file into a {SUFFIX} file, or back.")
    if kinds[1] == SUFFIX and (vocab or level or unit):
        raise click.UsageError(f"--vocab, --level and --unit are for a {SUFFIX} file.")
    if (level or unit) and not vocab:
        raise click.UsageError("--level and --unit go with --vocab.")
    check_output(output, source, *([vocab] if vocab else []))
    from rnncli.convert import foreign, pytorch
    from rnncli.lm import language_model

    if kinds[1] == SUFFIX:
        language = language_model.load(source)
        pytorch.save(output, language)
    else:
        if vocab:
            tokens = foreign.read_tokens(vocab)
            language = foreign.load(source, tokens, level=level or "", unit=unit or "")
        else:
            language = pytorch.load(source)
        language_model.save(output, language)
    config = language.model.config
    source = f"embedding {config.embed}" if config.embed else "one-hot"
    layers = f"{config.layers} layer{'s' if config.layers > 1 else ''} of {config.hidden}"
    rule = language.tokenizer.signature
    note(f"{output}: {config.cell}, {source}, {layers}, {config.inputs:,} tokens ({rule})", quiet)
