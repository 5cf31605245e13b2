"""The charge models there are, by the name a contract file gives them."""

from services.contract.tariff import ChargeModel
from services.contract.tariff.graduated import Graduated
from services.contract.tariff.per_unit import PerUnit

MODELS: dict[str, type[ChargeModel]] = {model.kind: model for model in (PerUnit, Graduated)}
