from palan.client import AsyncClient as AsyncClient
from palan.client import Client as Client
from palan.client import Output as Output
from palan.client import errors as errors

__version__: str
