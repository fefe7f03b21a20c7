"""A model of strings: what `clipperctl model deploy … --file examples/shout.py:shout` serves."""


def shout(texts):
    return [text.upper() + "!" for text in texts]
