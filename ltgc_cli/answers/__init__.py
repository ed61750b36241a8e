"""Reads what language models answer. A stage calls `read.read` on an answer that should hold descriptions.

On the way of an answer: `lines` cuts it up and takes off the marks of lists, tables and JSON; `sentences` finds what a
line says of the class, by `phrases` and by the class's name (`spelling`); `tidy` puts that in order; `lint` marks what
is wrong with it, with `school` and `clip_tokens`. What has no place in this room is the stage's affair.
"""
