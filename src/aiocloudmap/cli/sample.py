"""The little shop that `serve` without a file and the demo show."""

from __future__ import annotations

from typing import Final

__all__ = ["SAMPLE_WORLD"]

SAMPLE_WORLD: Final = """\
[shop.orders]
attributes = { OWNER = "team-a" }

[shop.orders.instances.orders-1]
QUEUE_URL = "https://sqs.eu-west-1.amazonaws.com/123456789012/orders"
STAGE = "live"

[shop.orders.instances.orders-2]
QUEUE_URL = "https://sqs.eu-west-1.amazonaws.com/123456789012/orders-canary"
STAGE = "canary"

[shop.payments.instances.payments-1]
QUEUE_URL = "https://sqs.eu-west-1.amazonaws.com/123456789012/payments"

[shop.mail.instances.mail-1]
QUEUE_URL = "https://sqs.eu-west-1.amazonaws.com/123456789012/mail"
AWS_INSTANCE_IPV4 = "10.0.0.7"
AWS_INSTANCE_PORT = "8025"
"""
