"""OCI distribution client: what the engine asks of image registries.

``names`` says which servers stand for a registry and whether they must prove who they
are, ``challenge`` reads how a server wants to be convinced, ``credentials`` and
``tokens`` convince it, ``transport`` (over ``dial``, ``tls``, ``proxies`` and ``urls``) carries
the requests, ``login`` puts them together for ``POST /auth``.

Nothing here is imported when an engine starts: it comes with the first request that
needs a registry.  Everything but the ``async`` entry points is plain blocking code
that runs in threads; :mod:`palan.registry.transport` says why.
"""
