"""What work costs: hours of the devices that it runs on, and money where a price per hour is known."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from evalkit import machine

CORE, GPU = "core", "GPU"


@dataclass(frozen=True, kw_only=True)
class Devices:
    """What work runs on. kind: CORE or GPU."""

    kind: str
    count: float


# None: the cores of this machine.
_devices: ContextVar[Devices | None] = ContextVar("devices", default=None)
_prices: ContextVar[Mapping[str, Any]] = ContextVar("prices", default=MappingProxyType({}))


def use(device: str, *, count: int = 1, cores: int | None = None) -> None:
    """Take note of what the work from here on runs on.

    device: as torch names it. count: of GPUs. cores: used where there is no GPU (default: those of this machine).
    """
    gpu = device.partition(":")[0] != "cpu"
    _devices.set(Devices(kind=GPU, count=count) if gpu else Devices(kind=CORE, count=cores) if cores else None)


@contextmanager
def priced(prices: Mapping[str, Any]) -> Iterator[None]:
    """Price the work of a block. prices: per hour of a "core" and of a "gpu", and the "currency" ("" if left out)."""
    tokens = _prices.set(prices), _devices.set(None)
    try:
        yield
    finally:
        _prices.reset(tokens[0])
        _devices.reset(tokens[1])


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Device-hours spent, and those expected in all (None at the end, or if unknown). price: of an hour, or None."""

    kind: str
    spent: float
    expected: float | None
    price: float | None
    currency: str

    @classmethod
    def of(cls, seconds: float, *, left: float | None) -> Cost:
        """Return the cost of work on the devices in use. left: seconds that it will go on; None: unknown."""
        devices = _devices.get() or Devices(kind=CORE, count=machine.cores())
        prices = _prices.get()
        hours = devices.count / 3600
        return cls(
            kind=devices.kind, spent=seconds * hours, expected=(seconds + left) * hours if left else None,
            price=prices.get(devices.kind.lower()), currency=prices.get("currency", ""),
        )  # fmt: skip

    def hours(self, *, between: str = " of ") -> str:
        """Return the device-hours in words: "0.12 of 0.80 core-hours"."""
        return f"{between.join(map(_figure, self._amounts()))} {self.kind}-hours"

    def money(self, *, between: str = " of ") -> str:
        """Return the money in words: "0.06 of 0.40 EUR"; empty without a price."""
        if self.price is None:
            return ""
        amounts = (hours * self.price for hours in self._amounts())
        texts = (f"{amount:,.2f}" if amount >= 0.1 or not amount else f"{amount:.4f}" for amount in amounts)
        return f"{between.join(texts)} {self.currency}".rstrip()

    def _amounts(self) -> list[float]:
        return [hours for hours in (self.spent, self.expected) if hours is not None]

    def facts(self) -> dict[str, Any]:
        """Return it for a log of JSON lines."""
        hours = {"spent": round(self.spent, 6), "expected": None if self.expected is None else round(self.expected, 6)}
        money = {} if self.price is None else {"price": self.price, "currency": self.currency}
        return {"device": self.kind, **{f"{name}_hours": value for name, value in hours.items()}, **money}


def _figure(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"
