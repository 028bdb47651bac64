"""One organisation shares data with another, both through generated clients.

    exchange.py SENDER.json RECIPIENT.json

Each file has what `dm-node dev --json` prints for a node.
"""

import io
import json
import sys
from pathlib import Path
from typing import Any

import httpx
from datamgmt_client import AuthenticatedClient, models
from datamgmt_client.api.events import events
from datamgmt_client.api.inbox import acknowledge_inbox_item, get_inbox_item, list_inbox
from datamgmt_client.api.objects import get_object
from datamgmt_client.api.shares import get_share, put_object, share_data
from datamgmt_client.types import UNSET, File, Unset
from datamgmt_operators import AuthenticatedClient as OperatorsClient
from datamgmt_operators.api.subscriptions import subscribe, unsubscribe
from datamgmt_operators.models import NewSubscription, SubscriptionRequest
from receiver import Receiver


def connect(node: dict[str, Any]) -> AuthenticatedClient:
    return AuthenticatedClient(
        base_url=node["external_api"],
        token=node["api_key"],
        auth_header_name="X-API-Key",
        prefix="",
        # Longer than events are waited for.
        timeout=httpx.Timeout(60),
        raise_on_unexpected_status=True,
    )


def connect_as_operator(node: dict[str, Any]) -> OperatorsClient:
    return OperatorsClient(
        base_url=node["internal_api"],
        token=node["api_key"],
        auth_header_name="X-API-Key",
        prefix="",
        raise_on_unexpected_status=True,
    )


def share_text(sender: AuthenticatedClient, recipient: str) -> str:
    answer = share_data.sync(
        client=sender,
        body=models.ShareRequest(
            data="Report of November",
            recipient=recipient,
            name="report.txt",
            media_type="text/plain",
            labels=models.LabelsInput.from_dict({"kind": "report"}),
        ),
    )
    assert isinstance(answer, models.Share), answer
    return answer.data_hash


def share_file(sender: AuthenticatedClient, recipient: str, content: bytes) -> str:
    answer = put_object.sync(
        client=sender,
        recipient=recipient,
        body=File(payload=io.BytesIO(content)),
        content_disposition="attachment; filename=\"picture.bin\"",
        x_labels=json.dumps({"kind": "picture"}),
    )
    assert isinstance(answer, models.Share), answer
    return answer.data_hash


def find(recipient: AuthenticatedClient, kind: str) -> models.InboxItem:
    labels = models.ListInboxLabels.from_dict({"label.kind": kind})
    page = list_inbox.sync(client=recipient, labels=labels)
    assert isinstance(page, models.InboxPage), page
    [item] = page.items
    return item


def fetch(recipient: AuthenticatedClient, data_hash: str) -> bytes:
    file = get_object.sync(data_hash, client=recipient)
    assert isinstance(file, File), file
    return file.payload.read()


def acknowledge(recipient: AuthenticatedClient, data_hash: str) -> int:
    answer = acknowledge_inbox_item.sync(data_hash, client=recipient)
    assert isinstance(answer, models.Acknowledgement), answer
    return answer.acknowledged_at


def wait_until_acknowledged(sender: AuthenticatedClient, data_hash: str) -> models.CloudEvent:
    cursor: str | Unset = UNSET
    while True:
        page = events.sync(client=sender, topics="data.acknowledged", cursor=cursor, wait=30)
        assert isinstance(page, models.EventPage) and page.events, page
        for event in page.events:
            if event.subject == data_hash:
                return event
        cursor = page.cursor


def subscribe_to_arrivals(operator: OperatorsClient, url: str) -> NewSubscription:
    made = subscribe.sync(
        client=operator,
        body=SubscriptionRequest(name="arrivals", url=url, topics=["data.received"]),
    )
    assert isinstance(made, NewSubscription), made
    return made


def arrivals(recipient: AuthenticatedClient) -> list[models.CloudEvent]:
    page = events.sync(client=recipient, topics="data.received")
    assert isinstance(page, models.EventPage), page
    return page.events


def exchange(sender_node: dict[str, Any], recipient_node: dict[str, Any]) -> None:
    address, picture = recipient_node["address"], bytes(range(256)) * 2000
    receiver = Receiver()
    with connect(sender_node) as sender, connect(recipient_node) as recipient, \
            connect_as_operator(recipient_node) as operator:
        subscription = subscribe_to_arrivals(operator, receiver.url)
        receiver.expect(subscription.secret)

        shared = [share_text(sender, address), share_file(sender, address, picture)]
        called = [receiver.next_event(), receiver.next_event()]
        assert {event.get_subject() for event in called} == set(shared), called
        assert [event.get_id() for event in called] == [event.id for event in arrivals(recipient)][-2:]

        report = find(recipient, "report")
        assert (report.data_hash, report.name, report.media_type) == (shared[0], "report.txt", "text/plain")
        assert report.state == models.InboxItemState.NEW, report
        assert report.from_ == sender_node["address"], report
        assert fetch(recipient, report.data_hash) == b"Report of November"
        assert find(recipient, "picture").name == "picture.bin"
        assert fetch(recipient, shared[1]) == picture

        acknowledged_at = acknowledge(recipient, report.data_hash)
        assert acknowledge(recipient, report.data_hash) == acknowledged_at
        item = get_inbox_item.sync(report.data_hash, client=recipient)
        assert isinstance(item, models.InboxItem), item
        assert item.state == models.InboxItemState.ACKNOWLEDGED, item
        event = wait_until_acknowledged(sender, report.data_hash)
        assert event.data["recipient"] == address, event
        sent = get_share.sync(report.data_hash, client=sender)
        assert isinstance(sent, models.SharedData), sent
        assert [share.acknowledged_at for share in sent.shares] == [acknowledged_at], sent

        unknown = get_object.sync("0" * 64, client=recipient)
        assert isinstance(unknown, models.Error), unknown

        unsubscribe.sync_detailed(subscription.id, client=operator)
    receiver.close()


if __name__ == "__main__":
    nodes = [json.loads(Path(argument).read_text()) for argument in sys.argv[1:]]
    exchange(*nodes)
    print("python: shared, called, listed, fetched, acknowledged")
