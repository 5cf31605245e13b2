"""The charge models there are, by the name a contract file gives them."""

from services.contract.tariff import ChargeModel
from services.contract.tariff.flat import Flat
from services.contract.tariff.graduated import Graduated
from services.contract.tariff.package import Package
from services.contract.tariff.per_unit import PerUnit
from services.contract.tariff.percentage import Percentage
from services.contract.tariff.stairstep import Stairstep
from services.contract.tariff.volume import Volume

MODELS: dict[str, type[ChargeModel]] = {
    model.kind: model for model in (PerUnit, Graduated, Volume, Package, Stairstep, Flat, Percentage)
}
