"""`Dataset` by the name that loaders of images know it by."""

from search.datasets.dataset import ARRAYS, Array, Arrays, from_arrays
from search.datasets.dataset import Dataset as ImageData
from search.datasets.examples import some

__all__ = ["ARRAYS", "Array", "Arrays", "ImageData", "from_arrays", "some"]
