"""What can be searched: spaces, subnets, genomes and the layers they stand for."""

from search_spaces.fitted import fitted
from search_spaces.genome import Gene, GenomeLayout
from search_spaces.layers import LayerSpec, layer_specs, make_divisible
from search_spaces.library import BUILT_IN, load
from search_spaces.space import SearchSpace, TableWidths
from search_spaces.stage import Stage
from search_spaces.subnet import FLOAT, BlockChoice, LayerBits, Subnet
from search_spaces.toml_text import to_toml

__all__ = [
    "BUILT_IN",
    "FLOAT",
    "BlockChoice",
    "Gene",
    "GenomeLayout",
    "LayerBits",
    "LayerSpec",
    "SearchSpace",
    "Stage",
    "Subnet",
    "TableWidths",
    "fitted",
    "layer_specs",
    "load",
    "make_divisible",
    "to_toml",
]
