"""The composer: a composition in, the C source of a scheduler out.

Pure: the same composition gives the same bytes. Nothing of a composition's text comes into the C
but its names, which are identifiers; what comes out is judged like any stranger's source. This
package must not read files, run anything, or know what the stages look for.
"""

from .emitting import compose
from .reading import COMPOSITION_BYTES_MAX, composition_of

__all__ = ["COMPOSITION_BYTES_MAX", "compose", "composition_of"]
