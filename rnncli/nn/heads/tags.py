"""The head of a tagger: a softmax over K classes, for each step or for the last one alone."""

from rnncli.nn.heads import linear, softmax
from rnncli.nn.heads.head import Head

HEAD = Head(linear.parameters, linear.logits, softmax.nats, softmax.loss_and_gradients)
