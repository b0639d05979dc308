"""What `attribute` is asked with: wrong arguments are told, whether the answer is known or not."""

from __future__ import annotations

import pytest

from aiocloudmap import ConfigurationError

WRONG = [
    ((None,), "^invalid attribute name None: expected a string like 'QUEUE_URL'$"),
    ((5,), "^invalid attribute name 5: "),
    ((["N"],), r"^invalid attribute name \['N'\]: "),
    ((b"N",), "^invalid attribute name b'N': "),
    ((object(),), "^invalid attribute name <object object .*>: "),
    (("N", 5), "^invalid cast 5: expected a function of one string, like int$"),
    (("N", None), "^invalid cast None: "),
    (("N", "int"), "^invalid cast 'int': "),
]


@pytest.mark.parametrize("default", [{}, {"default": "d"}], ids=["no default", "default"])
@pytest.mark.parametrize("known", [True, False], ids=["known", "unknown"])
@pytest.mark.parametrize("instances", [1, 2])
@pytest.mark.parametrize(("arguments", "message"), WRONG)
async def test_a_wrong_argument_is_told(stage, instances, known, default, arguments, message):
    """Not blamed on the data, and covered up by no default."""
    for number in range(instances):
        stage.world.register("shop/carts", f"cart-{number}", {"N": "1"})
    service = stage.cloud_map().service("shop/carts")
    if known:
        await service.resolve()
    with pytest.raises(ConfigurationError, match=message):
        await service.attribute(*arguments, **default)


@pytest.mark.parametrize("arguments", [(None,), ("N", 5)])
async def test_it_is_told_where_there_is_nothing_else_to_tell(stage, arguments):
    """Of a service without instances, and in the middle of an outage."""
    stage.world.add_service("shop/carts")
    service = stage.cloud_map().service("shop/carts")
    await service.resolve()
    with pytest.raises(ConfigurationError):
        await service.attribute(*arguments, default="d")
    stage.faults.server_error()
    with pytest.raises(ConfigurationError):
        await stage.cloud_map().service("shop/carts").attribute(*arguments, default="d")
