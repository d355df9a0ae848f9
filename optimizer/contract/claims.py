"""Every claim, in the order in which a person wants to hear of them."""

from __future__ import annotations

from optimizer.contract import fits, odd, processes, spaces
from optimizer.contract.claim import Claim

CLAIMS: tuple[Claim, ...] = (*spaces.CLAIMS, *fits.CLAIMS, *odd.CLAIMS, *processes.CLAIMS)
