"""Where a text is cut into sentences."""

from itertools import pairwise

from rnncli.text.patterns import when_needed

# regex counts U+001C..U+001F as no white space, str.split() does; here they agree.
_SPACE = r"[\s\x1c-\x1f]"
_CLOSING = r"[\"'”’»)\]」』）]"
_ABBREVIATION = r"\b(?:Mr|Mrs|Ms|Dr|Prof|St|Jr|Sr|vs|cf|e\.g|i\.e|\p{Lu})"
_SENTENCE_END = when_needed(
    rf"""
      (?<! [.!?…] )                              # at the start of a run of marks
      (?: (?<! {_ABBREVIATION} ) \. (?! [.!?…] ) | (?! \. (?! [.!?…] ) ) [.!?…]++ )
      {_CLOSING}*+ {_SPACE}++ (?! \p{{Ll}} )     # a small letter goes on with the sentence
    | [。！？]++ {_CLOSING}*+ {_SPACE}*+
    | (?> \r\n | [\n\r] ) [ \t]*+ (?> \r\n | [\n\r] ) {_SPACE}*+     # a blank line
    """,
    verbose=True,
)


def sentences(text: str) -> list[str]:
    """Cut `text` after each sentence; white space stays, so the pieces join to `text`.

    Example: "Hi. You?" -> ["Hi. ", "You?"]
    """
    cuts = [0, *(match.end() for match in _SENTENCE_END().finditer(text)), len(text)]
    return [text[a:b] for a, b in pairwise(cuts) if a < b]
