"""A handler with the decorators of Powertools."""

from __future__ import annotations

import asyncio

from aws_lambda_powertools import Logger, Tracer

from aiocloudmap.integrations.aws_lambda import async_handler

logger = Logger(service="shop")
tracer = Tracer(service="shop")


@logger.inject_lambda_context
@tracer.capture_lambda_handler
@async_handler
async def handler(event, context):
    await asyncio.sleep(0)
    logger.info("sent")
    return context.aws_request_id
