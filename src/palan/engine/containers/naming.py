"""Names and ids of containers: checking and generating them.

As in Docker, a generated name is an adjective and the surname of a scientist or engineer.
"""

import re
import secrets
from collections.abc import Callable
from typing import Final

from palan.api.errors import InvalidParameter


__all__ = ["ADJECTIVES", "SURNAMES", "check_name", "generate_id", "generate_name"]

_NAME: Final = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]+")
_TRIES: Final = 6

_ADJECTIVES: Final = """
    agile alert amber ample apt ardent astute avid balmy blithe bold bonny brave breezy bright
    brisk bubbly buoyant calm candid capable careful cheery civil clear clever coy cordial cosy
    crafty crisp curious dapper daring dazzling deft diligent dreamy droll eager earnest
    easy elated elegant eloquent fair famous fearless fervent fine fleet fluent fond frank fresh
    frosty gallant generous gentle genial gifted glad gleaming golden graceful grand grateful
    handy happy hardy hasty hearty honest hopeful humble ideal jaunty jolly jovial joyful keen
    kind lively loyal lucid lucky mellow merry mighty mild modest neat nimble noble patient placid
    plucky polite prudent quick quiet quirky radiant ready robust rosy sage serene sharp shiny
    silver sincere sleek smart snappy snug sober solid spry stable steady stoic sunny supple
    sure swift tidy tender thrifty tranquil trusty upbeat valiant vivid warm wary wise witty zany
    zesty
"""

_SURNAMES: Final = """
    abel aho alhazen allen ampere archimedes aristotle aryabhata austin avogadro babbage backus
    banach banneker bardeen bell bernoulli bessel bhabha blackburn blackwell bohr boltzmann boole
    borg bose boyle brahe brahmagupta brattain brown burnell cannon cantor carson cartwright cerf
    chandrasekhar chatelet chomsky church codd cohen copernicus coulomb cray curie darwin davinci
    diffie dijkstra dirac dyson easley edison einstein elgamal elion engelbart euclid euler faraday
    feistel fermat fermi feynman fourier franklin galileo galois gauss germain goldberg golick
    goodall haibt hamilton hawking heisenberg hellman hermann herschel hertz heyrovsky hilbert
    hodgkin hoover hopper hugle hypatia jackson jemison jennings johnson joliot jones kalam kapitsa
    kare kepler kernighan khayyam khorana kilby kirch knuth kovalevsky lagrange lamarr lamport
    laplace leakey leavitt leibniz lewin liskov lovelace lumiere mahavira margulis maxwell mayer
    mccarthy mcclintock mclaren mcnulty meitner mendel mendeleev merkle minsky mirzakhani moore
    morse moser naur newton nightingale noether northcutt noyce panini pare pascal pasteur payne
    perlman pike planck poincare poitras ptolemy raman ramanujan rhodes ride ritchie robinson
    roentgen rubin saha sammet shannon shaw shirley shockley sinoussi snyder spence
    stallman stonebraker swanson tereshkova tesla tharp thompson torvalds turing varahamihira
    vaughan visvesvaraya volhard villani wescoff wilbur wiles williams wilson wing wozniak wright
    wu yalow yonath zhukovsky
"""

ADJECTIVES: Final = tuple(_ADJECTIVES.split())
SURNAMES: Final = tuple(_SURNAMES.split())


def check_name(name: str) -> None:
    """Check the name of a container; one leading slash is not part of it.

    Raises:
        InvalidParameter: the name is not allowed; in dockerd's words.
    """
    if not _NAME.fullmatch(name.removeprefix("/")):
        raise InvalidParameter(
            f"Invalid container name ({name}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed"
        )


def generate_name(taken: Callable[[str], bool], container_id: str) -> str:
    """Generate a name that is not in use, or return the short id if several tries fail.

    Args:
        taken: whether a name (without a slash) is in use.
        container_id: the full id of the container that needs a name.
    """
    for attempt in range(_TRIES):
        name = f"{secrets.choice(ADJECTIVES)}_{secrets.choice(SURNAMES)}"
        if attempt:
            name += str(secrets.randbelow(10))
        if not taken(name):
            return name
    return container_id[:12]


def generate_id() -> str:
    """Generate an id: 64 hex digits.

    The first twelve, which are also the default host name, are never all decimal: such a host
    name would be taken for a number.
    """
    while True:
        new = secrets.token_hex(32)
        if not new[:12].isdecimal():
            return new
