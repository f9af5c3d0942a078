"""The everyday verbs (``palan ps``, ``palan run`` ...), in the docker CLI's grammar.

Each is a :class:`palan.cli.verbs.verb.Verb`: how its arguments are declared, and what it does
with a client. They are imported when they are called.
"""
