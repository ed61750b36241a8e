"""Reads what language models answer. A stage calls `read.read` on an answer that should hold descriptions.

On the way of an answer: `blocks` says what its structure says; `sentences` puts each block in Template 1, with the
class's name as `names` finds it; `rules` drops or cuts what is no description, and marks what is doubtful; each drop
and each cut comes back with its reason. `numbers` reads the answer to Prompt 3.
"""

# In the hash of what stages read: raise it when answers are read otherwise, and they are read anew for nothing.
READER = 2

MOST_AT_ONCE = 40  # descriptions that one question asks for; longer answers get cut off
