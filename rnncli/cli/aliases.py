"""Words that users of other tools try, and what the option or the command is called here."""

from __future__ import annotations

HABITS = {  # command -> option of char-rnn, torch-rnn or textgenrnn -> the option here
    "train": {
        "rnn_size": "hidden",
        "num_layers": "layers",
        "rnn_layers": "layers",
        "model": "cell",
        "wordvec_size": "embed",
        "dim_embeddings": "embed",
        "batch_size": "batch",
        "seq_length": "bptt",
        "max_length": "bptt",
        "max_epochs": "epochs",
        "num_epochs": "epochs",
        "learning_rate": "lr",
        "learning_rate_decay": "factor",
        "lr_decay_factor": "factor",
        "learning_rate_decay_after": "after",
        "lr_decay_every": "every",
        "decay_rate": "decay",
        "grad_clip": "clip",
        "eval_val_every": "valid_every",
        "init_from": "from",
    },
    "sample": {
        "primetext": "prefix",
        "start_text": "prefix",
        "max_gen_length": "length",
        "top_n": "top_k",
    },
}

GUESSES = {  # command -> a word that users try -> the option here
    "sample": {
        "prompt": "prefix",
        "max_tokens": "length",
        "max_new_tokens": "length",
        "num_samples": "num",
    },
    "eval": {"input": "text", "file": "text"},
    "tokenize": {"vocabulary": "vocab_size", "words": "vocab_size"},
}

COMMANDS = {  # another word -> the command here
    "generate": "sample",
    "write": "sample",
    "evaluate": "eval",
    "score": "eval",
    "test": "eval",
    "perplexity": "eval",
    "fit": "train",
    "preprocess": "tokenize",
    "prepare": "tokenize",
    "encode": "tokenize",
    "info": "inspect",
    "show": "inspect",
    "compare": "inspect",
    "export": "convert",
    "import": "convert",
}
