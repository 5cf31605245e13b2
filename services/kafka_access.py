"""Granting in Kafka what `access` says, and taking back what of ours it does not say any more."""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError, for_code
from aiokafka.protocol.admin import (
    CreateAclsRequest,
    CreateAclsRequest_v1,
    DeleteAclsRequest,
    DeleteAclsRequest_v1,
    DescribeAclsRequest,
    DescribeAclsRequest_v1,
)

from services.access import Grant, Kind, Operation, is_ours
from services.kafka import admin_of

_ANY_RESOURCE, _ANY_PATTERN, _ANY_OPERATION, _ANY_PERMISSION = 1, 1, 1, 1
_LITERAL, _PREFIXED, _ALLOW = 3, 4, 3
_NOBODY_ASKED = 54  # SECURITY_DISABLED: the broker has no authorizer
_ANY_HOST = "*"


class Granted(NamedTuple):
    """What was granted and taken back."""

    made: list[Grant]
    taken_back: list[Grant]


class _Describe(DescribeAclsRequest):  # type: ignore[misc]
    """Asks in version 1: aiokafka 0.14 writes version 2, which it prefers, without the compact forms that it has."""

    def build(self, _version: Any) -> Any:
        return super().build(DescribeAclsRequest_v1)


class _Create(CreateAclsRequest):  # type: ignore[misc]
    def __init__(self, grants: Sequence[Grant]) -> None:
        self._grants = grants

    def build(self, _version: Any) -> Any:
        return CreateAclsRequest_v1([_row(each) for each in self._grants])


class _Delete(DeleteAclsRequest):  # type: ignore[misc]
    def __init__(self, grants: Sequence[Grant]) -> None:
        self._grants = grants

    def build(self, _version: Any) -> Any:
        return DeleteAclsRequest_v1([_row(each) for each in self._grants])


async def apply_grants(servers: str, wanted: Iterable[Grant]) -> Granted | None:
    """Make what is granted to our principals what is wanted; None where the broker checks nobody's rights.

    Raises KafkaError where the broker refuses.
    """
    async with admin_of(servers) as admin:
        there = await _there(admin)
        if there is None:
            return None
        made = [each for each in dict.fromkeys(wanted) if each not in there]
        taken_back = sorted(there - set(wanted))
        if made:
            answer = await admin._send_to_controller(_Create(made))
            _refuse(answer.creation_responses)
        if taken_back:
            answer = await admin._send_to_controller(_Delete(taken_back))
            _refuse((code, text) for code, text, _ in answer.filter_responses)
        return Granted(made, taken_back)


async def _there(admin: AIOKafkaAdminClient) -> set[Grant] | None:
    request = _Describe(_ANY_RESOURCE, None, _ANY_PATTERN, None, None, _ANY_OPERATION, _ANY_PERMISSION)
    answer = await admin._send_to_controller(request)
    if answer.error_code == _NOBODY_ASKED:
        return None
    _refuse([(answer.error_code, answer.error_message)])
    return {
        grant
        for kind, name, pattern, grants in answer.resources
        for principal, host, operation, permission in grants
        if (grant := _grant(kind, name, pattern, principal, host, operation, permission)) is not None
    }


def _grant(
    kind: int, name: str, pattern: int, principal: str, host: str, operation: int, permission: int
) -> Grant | None:
    """Return a grant to one of ours as we would make it; others are none of our business."""
    user = principal.removeprefix("User:")
    if not is_ours(user) or (host, permission) != (_ANY_HOST, _ALLOW):
        return None
    if kind not in set(Kind) or operation not in set(Operation):
        return None
    return Grant(user, Kind(kind), name, Operation(operation), by_prefix=pattern == _PREFIXED)


def _row(grant: Grant) -> tuple[Any, ...]:
    pattern = _PREFIXED if grant.by_prefix else _LITERAL
    principal = f"User:{grant.principal}"
    return int(grant.kind), grant.name, pattern, principal, _ANY_HOST, int(grant.operation), _ALLOW


def _refuse(answers: Iterable[tuple[int, str | None]]) -> None:
    for code, text in answers:
        if code:
            kind: type[KafkaError] = for_code(code)
            raise kind(text or kind.__name__)
