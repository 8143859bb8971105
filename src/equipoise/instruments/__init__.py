"""Instruments: what a network is doing, told in numbers, without a trace in the network.

Each is called with `(critic, real, fake)` and gives numbers by name. Those of weights need no images;
those of critics need both sides. They work on any module, and on any function from images to logits where no weights
are asked for. Without a critic, `spectrum(top=8)` is the instrument itself.

>>> from equipoise import instruments
>>> import torch
>>> D = torch.nn.Sequential(torch.nn.Linear(2, 2, bias=False))
>>> D[0].weight.data = torch.diag(torch.tensor([3.0, 1.0]))
>>> instruments.spectrum(D)
{'0.reshaped': [3.0, 1.0]}
"""

from .instrument import Instrument as Instrument
from .instrument import Readings as Readings
from .instrument import undisturbed as undisturbed
from .of_critics import gradient_norms as gradient_norms
from .of_critics import js_estimate as js_estimate
from .of_critics import lipschitz_estimate as lipschitz_estimate
from .of_critics import transport_gap as transport_gap
from .of_weights import effective_rank as effective_rank
from .of_weights import lipschitz_bound as lipschitz_bound
from .of_weights import sigma_error as sigma_error
from .of_weights import spectrum as spectrum
