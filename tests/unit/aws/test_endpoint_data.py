"""Endpoints, read service by service, against all of them read at once."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import botocore
import pytest

from aiocloudmap.aws.endpoint_data import read_endpoints

TEXT = (Path(botocore.__file__).parent / "data" / "endpoints.json").read_text(encoding="utf-8")
LAID_OUT = """{
  "partitions" : [ {
    "partition" : "aws",
    "services" : {
      "sqs" : {
        "endpoints" : {
          "eu" : { },
          "us" : {
            "hostname" : "}"
          }
        }
      },
      "sts" : { },
      "x" : {
        "sqs" : 1
      }
    }
  }, {
    "partition" : "none",
    "services" : {
    }
  }, {
    "partition" : "nothing",
    "services" : { }
  }, {
    "services" : {
      "sqs" : {
        "endpoints" : { }
      }
    },
    "partition" : "last"
  } ],
  "version" : 3
}"""


def test_botocores_own_file_is_read_as_ever():
    """Every service of every partition, asked one by one, and all that stands beside them."""
    expected = json.loads(TEXT)
    found = read_endpoints(TEXT)
    assert sum(type(partition["services"]) is not dict for partition in found["partitions"]) >= 7
    for mine, theirs in zip(found["partitions"], expected["partitions"], strict=True):
        for service, data in theirs["services"].items():
            assert mine["services"][service] == data
        assert "sqz" not in mine["services"]
        assert mine["services"].get('a"b', 17) == 17
    assert found == expected
    assert copy.deepcopy(found) == expected


def test_all_services_can_be_gone_through_before_and_after_one_is_looked_up():
    """As a program does that lists where a service is."""
    first, second = [partition["services"] for partition in read_endpoints(TEXT)["partitions"][:2]]
    expected = [partition["services"] for partition in json.loads(TEXT)["partitions"][:2]]
    assert list(first) == list(expected[0])
    assert second["sqs"] == expected[1]["sqs"]
    assert (len(second), dict(second)) == (len(expected[1]), expected[1])


@pytest.mark.parametrize("service", ["sqs", "sts", "x", "y"])
def test_a_service_may_be_written_in_one_line(service):
    """The end of the one that is looked for is the end of a line of its own, where it has one."""
    partitions = read_endpoints(LAID_OUT)["partitions"]
    assert [type(partition["services"]) is dict for partition in partitions] == [False, False, True, False]
    for mine, theirs in zip(partitions, json.loads(LAID_OUT)["partitions"], strict=True):
        assert mine["services"].get(service) == theirs["services"].get(service)


@pytest.mark.parametrize(
    ("spelling", "other"),
    [('"sqs" : {', '"sqs": {'), ('"sqs" : {', '"\\u0073qs" : {'), ('"x" : {', '"sqs" : {')],
)
def test_a_name_may_be_spelt_in_any_way_that_json_knows(spelling, other):
    """And of two that are equal the last one counts."""
    text = LAID_OUT.replace(spelling, other, 1)
    for mine, theirs in zip(read_endpoints(text)["partitions"], json.loads(text)["partitions"], strict=True):
        assert mine["services"].get("sqs") == theirs["services"].get("sqs")


@pytest.mark.parametrize(
    "text",
    [
        json.dumps(json.loads(LAID_OUT)),
        json.dumps(json.loads(LAID_OUT), indent=4),
        LAID_OUT.replace('"partition"', '"services" : 1, "partition"', 1),
        LAID_OUT.replace('"services"', '"things"', 1),
        TEXT.replace('"services" : {', '"services" : {  ', 1),
        '{"partitions": []}',
        "[]",
        "17",
    ],
)
def test_a_file_that_is_laid_out_otherwise_is_read_all_the_same(text):
    """A layer for Lambda may have had its JSON made smaller; somebody may have written a file of their own."""
    assert read_endpoints(text) == json.loads(text)


@pytest.mark.parametrize("text", ["", "{", TEXT[:50_000]])
def test_what_is_no_json_is_refused(text):
    """As ever."""
    with pytest.raises(ValueError, match="line"):
        read_endpoints(text)
