"""Freeze two models as others save them: `python tests/frozen/make_safetensors_reference.py`.

Needs torch and safetensors. Writes char_lstm.safetensors (nn.Embedding, two layers of nn.LSTM,
nn.Linear under names of their own, float32) and char_gru.safetensors (one-hot, nn.GRU, nn.Linear
without a bias, float64). Their metadata hold, as JSON, the tokens, some ids, and the logits that
PyTorch computes for these, (steps, V).
"""

import json
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn.functional import one_hot

TOKENS = ["\n", " ", "a", "b", "c", "ß", "猫"]
IDS = [2, 3, 4, 1, 5, 6, 0, 2, 2]
V = len(TOKENS)


class CharLSTM(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(V, 5)
        self.lstm = nn.LSTM(5, 4, 2)
        self.fc = nn.Linear(4, V)

    def forward(self, ids):
        return self.fc(self.lstm(self.embedding(ids))[0])


class CharGRU(nn.Module):
    def __init__(self):
        super().__init__()
        self.core = nn.GRU(V, 3, dtype=torch.float64)
        self.head = nn.Linear(3, V, bias=False, dtype=torch.float64)

    def forward(self, ids):
        return self.head(self.core(one_hot(ids, V).double())[0])


def write(module, name):
    with torch.no_grad():
        for value in module.parameters():
            value.mul_(2)
    logits = module(torch.tensor(IDS)).tolist()
    expected = json.dumps({"tokens": TOKENS, "ids": IDS, "logits": logits}, ensure_ascii=False)
    path = Path(__file__).parent / f"{name}.safetensors"
    save_file(module.state_dict(), path, {"expected": expected})


if __name__ == "__main__":
    torch.manual_seed(0)
    write(CharLSTM(), "char_lstm")
    write(CharGRU(), "char_gru")
