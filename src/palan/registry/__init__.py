"""Client of image registries: the OCI distribution specification and Docker's token protocol.

``names`` maps a registry to its servers and decides whether TLS is required; ``challenge``
parses ``WWW-Authenticate``; ``credentials`` and ``tokens`` produce ``Authorization``;
``transport`` (with ``dial``, ``tls``, ``proxies`` and ``urls``) sends requests; ``server`` adds
the authorization; ``repository`` and ``upload`` are the requests of the specification;
``login`` checks credentials for ``POST /auth``.

Nothing here is imported when an engine starts, only with the first request that needs a
registry. Apart from the ``async`` entry points all code blocks and runs in threads;
:mod:`palan.registry.transport` says why.
"""
