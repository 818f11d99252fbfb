"""The special tokens: what stands for an unknown token, and what marks the ends of a unit."""

UNK, BOS, EOS = SPECIALS = ("<unk>", "<s>", "</s>")  # in the order of their ids
ENDS = (BOS, EOS)
