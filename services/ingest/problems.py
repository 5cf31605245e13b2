"""The words of the usage API's documentation."""

from typing import Any

from services.web import PROBLEM

EXAMPLE = {
    "specversion": "1.0",
    "id": "vm-1019-2016-03-01T00",
    "source": "/providers/numergy",
    "type": "plafond.usage.v1",
    "time": "2016-03-01T00:00:00Z",
    "subject": "EC/DIGIT",
    "data": {"lot": "2", "item": "vcpu.hour", "quantity": "2", "region": "fr-paris", "resource": "vm-1019"},
}
_EVENT: dict[str, Any] = {
    "type": "object",
    "required": ["specversion", "id", "source", "type", "time", "subject", "data"],
    "properties": {
        "specversion": {"type": "string", "enum": ["1.0"]},
        "id": {"type": "string", "maxLength": 128, "description": "The provider's own, unique for ever."},
        "source": {"type": "string", "description": "/providers/<provider>: the provider whose key this is."},
        "type": {"type": "string", "enum": ["plafond.usage.v1"]},
        "time": {"type": "string", "format": "date-time", "description": "When the usage began."},
        "subject": {"type": "string", "description": "EP, EC/DIGIT (institution/department) or pool/<name>."},
        "data": {
            "type": "object",
            "required": ["lot", "item", "quantity", "region"],
            "properties": {
                "lot": {"type": "string"},
                "item": {"type": "string", "description": "Code in the award's price list."},
                "quantity": {"type": "string", "description": "Decimal in the item's unit, up to 15 decimals."},
                "region": {"type": "string", "description": "A region of the contract."},
                "resource": {"type": "string", "maxLength": 256},
            },
        },
    },
    "example": EXAMPLE,
}
REQUEST = {
    "requestBody": {
        "required": True,
        "content": {
            "application/cloudevents+json": {"schema": _EVENT},
            "application/cloudevents-batch+json": {"schema": {"type": "array", "items": _EVENT}},
            "application/x-ndjson": {"schema": {"type": "string", "description": "One event a line."}},
        },
    },
}
RESPONSES: dict[int | str, dict[str, Any]] = {
    400: {"description": "Some events are not well-formed; each is named, none was taken.", "content": PROBLEM},
    401: {"description": "No valid API key.", "content": PROBLEM},
    403: {"description": "Events in another provider's name; none was taken.", "content": PROBLEM},
    413: {"description": "Larger than a request may be.", "content": PROBLEM},
    415: {"description": "Not one of the media types.", "content": PROBLEM},
    429: {"description": "More events than you may push now; try again after Retry-After seconds.", "content": PROBLEM},
    503: {"description": "Can't be stored now; send all again after Retry-After seconds.", "content": PROBLEM},
}
