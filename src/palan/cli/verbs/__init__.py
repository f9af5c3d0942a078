"""The everyday verbs (``palan ps``, ``palan run`` ...), in the docker CLI's grammar.

Each is a :class:`palan.cli.verbs.verb.Verb`: one function declares its arguments, another acts
with a client. The module of a verb is imported when the verb is called.
"""
