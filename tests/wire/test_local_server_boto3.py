"""The local server called by boto3: every operation, its answers and its errors."""

from __future__ import annotations

from datetime import UTC, datetime

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from aiocloudmap.local import LocalCloudMap, World


@pytest.fixture(scope="module")
def session():
    return boto3.Session(aws_access_key_id="local", aws_secret_access_key="local", region_name="eu-west-1")


@pytest.fixture
def local():
    with LocalCloudMap(World(health_delay=0)) as local:
        yield local


@pytest.fixture
def client(session, local):
    # Endpoint overrides require the host prefix to be off. No retries, so that each error is seen.
    config = Config(inject_host_prefix=False, retries={"total_max_attempts": 1})
    client = session.client("servicediscovery", endpoint_url=local.endpoint_url, config=config)
    yield client
    client.close()


def namespace_of(client, operation):
    return client.get_operation(OperationId=operation["OperationId"])["Operation"]["Targets"]["NAMESPACE"]


@pytest.fixture
def namespace(client):
    return namespace_of(client, client.create_http_namespace(Name="shop"))


@pytest.fixture
def service(client, namespace):
    made = client.create_service(Name="orders", NamespaceId=namespace, HealthCheckCustomConfig={"FailureThreshold": 1})
    return made["Service"]["Id"]


def test_namespaces_of_all_three_types(client):
    """Create, get, list, update and delete."""
    made = {
        "HTTP": client.create_http_namespace(Name="shop", Tags=[{"Key": "team", "Value": "a"}]),
        "DNS_PRIVATE": client.create_private_dns_namespace(Name="shop.internal", Vpc="vpc-1"),
        "DNS_PUBLIC": client.create_public_dns_namespace(Name="shop.example.com"),
    }
    ids = {kind: namespace_of(client, operation) for kind, operation in made.items()}
    soa = {"Properties": {"DnsProperties": {"SOA": {"TTL": 60}}}}
    client.update_http_namespace(Id=ids["HTTP"], Namespace={"Description": "new"})
    client.update_private_dns_namespace(Id=ids["DNS_PRIVATE"], Namespace=soa)
    client.update_public_dns_namespace(Id=ids["DNS_PUBLIC"], Namespace=soa)
    for kind, identifier in ids.items():
        namespace = client.get_namespace(Id=identifier)["Namespace"]
        assert namespace["Type"] == kind
        assert namespace["Properties"]["HttpProperties"]["HttpName"] == namespace["Name"]
        assert abs(datetime.now(UTC) - namespace["CreateDate"]).total_seconds() < 60
    paginator = client.get_paginator("list_namespaces")
    pages = list(paginator.paginate(PaginationConfig={"PageSize": 1}))
    assert [each["Id"] for page in pages for each in page["Namespaces"]] == list(ids.values())
    for identifier in ids.values():
        client.delete_namespace(Id=identifier)
    assert client.list_namespaces()["Namespaces"] == []


def test_services_and_their_attributes(client, namespace):
    """Create, get, list, update and delete; add and delete attributes."""
    service = client.create_service(Name="orders", NamespaceId=namespace)["Service"]
    client.update_service(Id=service["Id"], Service={"Description": "new"})
    assert client.get_service(Id=service["Arn"])["Service"]["Description"] == "new"
    listed = client.list_services(Filters=[{"Name": "NAMESPACE_ID", "Values": [namespace]}])["Services"]
    assert [each["Id"] for each in listed] == [service["Id"]]
    client.update_service_attributes(ServiceId=service["Id"], Attributes={"OWNER": "a", "STAGE": "live"})
    client.delete_service_attributes(ServiceId=service["Id"], Attributes=["STAGE"])
    answer = client.get_service_attributes(ServiceId=service["Id"])["ServiceAttributes"]
    assert answer["Attributes"] == {"OWNER": "a"}
    client.delete_service(Id=service["Id"])
    with pytest.raises(client.exceptions.ServiceNotFound):
        client.get_service(Id=service["Id"])


def test_instances_health_and_discovery(client, service):
    """Register, get, list, health, discover, deregister."""
    client.register_instance(ServiceId=service, InstanceId="a", Attributes={"QUEUE_URL": "https://q"})
    client.register_instance(ServiceId=service, InstanceId="b", Attributes={})
    assert client.get_instance(ServiceId=service, InstanceId="a")["Instance"]["Attributes"] == {
        "QUEUE_URL": "https://q"
    }
    assert [each["Id"] for each in client.list_instances(ServiceId=service)["Instances"]] == ["a", "b"]
    client.update_instance_custom_health_status(ServiceId=service, InstanceId="b", Status="UNHEALTHY")
    status = client.get_instances_health_status(ServiceId=service)["Status"]
    assert status == {"a": "HEALTHY", "b": "UNHEALTHY"}
    names = {"NamespaceName": "shop", "ServiceName": "orders"}
    found = client.discover_instances(**names, HealthStatus="HEALTHY")
    assert found["Instances"] == [
        {
            "InstanceId": "a",
            "NamespaceName": "shop",
            "ServiceName": "orders",
            "HealthStatus": "HEALTHY",
            "Attributes": {"QUEUE_URL": "https://q"},
        }
    ]
    assert found["InstancesRevision"] == client.discover_instances_revision(**names)["InstancesRevision"] == 2
    client.deregister_instance(ServiceId=service, InstanceId="a")
    with pytest.raises(client.exceptions.InstanceNotFound):
        client.get_instance(ServiceId=service, InstanceId="a")


def test_operations_and_tags(client, namespace, service):
    """Get and list operations; add, remove and list tags."""
    operation = client.register_instance(ServiceId=service, InstanceId="a", Attributes={})["OperationId"]
    done = client.get_operation(OperationId=operation)["Operation"]
    assert (done["Type"], done["Status"]) == ("REGISTER_INSTANCE", "SUCCESS")
    assert done["Targets"]["INSTANCE"] == "a"
    assert {"Id": operation, "Status": "SUCCESS"} in client.list_operations()["Operations"]
    arn = client.get_namespace(Id=namespace)["Namespace"]["Arn"]
    client.tag_resource(ResourceARN=arn, Tags=[{"Key": "team", "Value": "a"}, {"Key": "stage", "Value": "live"}])
    client.untag_resource(ResourceARN=arn, TagKeys=["stage"])
    assert client.list_tags_for_resource(ResourceARN=arn)["Tags"] == [{"Key": "team", "Value": "a"}]


@pytest.mark.parametrize(
    ("operation", "members", "code"),
    [
        ("discover_instances", {"NamespaceName": "unknown", "ServiceName": "orders"}, "NamespaceNotFound"),
        ("discover_instances", {"NamespaceName": "shop", "ServiceName": "unknown"}, "ServiceNotFound"),
        (
            "discover_instances",
            {"NamespaceName": "shop", "ServiceName": "orders", "MaxResults": 5000},
            "InvalidInput",
        ),
        ("get_operation", {"OperationId": "unknown"}, "OperationNotFound"),
        ("list_tags_for_resource", {"ResourceARN": "arn:unknown"}, "ResourceNotFoundException"),
        ("create_http_namespace", {"Name": "shop"}, "NamespaceAlreadyExists"),
    ],
)
def test_errors_are_those_of_aws(client, service, operation, members, code):
    """Name, boto3 class, message, status 400 and a request id."""
    with pytest.raises(getattr(client.exceptions, code)) as caught:
        getattr(client, operation)(**members)
    response = caught.value.response
    assert response["Error"]["Code"] == code
    assert response["Error"]["Message"]
    assert response["ResponseMetadata"]["HTTPStatusCode"] == 400
    assert response["ResponseMetadata"]["RequestId"]


def test_an_error_carries_its_members(client, namespace):
    """The id of the existing namespace."""
    with pytest.raises(client.exceptions.NamespaceAlreadyExists) as caught:
        client.create_http_namespace(Name="shop")
    assert caught.value.response["NamespaceId"] == namespace


def test_duplicate_request_names_the_running_operation(session):
    """In DuplicateOperationId."""
    with LocalCloudMap(World(operation_time=60)) as local:
        local.world.add_service("shop/orders")
        client = session.client("servicediscovery", endpoint_url=local.endpoint_url)
        service = client.list_services()["Services"][0]["Id"]
        running = client.register_instance(ServiceId=service, InstanceId="a", Attributes={})["OperationId"]
        with pytest.raises(client.exceptions.DuplicateRequest) as caught:
            client.deregister_instance(ServiceId=service, InstanceId="a")
        assert caught.value.response["DuplicateOperationId"] == running
        client.close()


def test_every_operation_of_the_model_exists(client, local):
    """And no others."""
    from aiocloudmap.local.actions import ACTIONS

    assert sorted(client.meta.service_model.operation_names) == sorted(ACTIONS)


def test_faults_reach_boto3_as_aws_errors(client, local, service):
    """With AWS's error codes and statuses."""
    names = {"NamespaceName": "shop", "ServiceName": "orders"}
    for switch, code, status in (
        (local.faults.throttle, "RequestLimitExceeded", 400),
        (local.faults.server_error, "InternalFailure", 500),
        (local.faults.expired_token, "ExpiredTokenException", 400),
        (local.faults.access_denied, "AccessDeniedException", 400),
    ):
        with switch(), pytest.raises(ClientError) as caught:
            client.discover_instances(**names)
        assert caught.value.response["Error"]["Code"] == code
        assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == status
    with local.faults.throttle(), pytest.raises(ClientError) as caught:
        client.list_services()
    assert caught.value.response["Error"]["Code"] == "ThrottlingException"


def test_the_endpoint_can_serve_another_aws_service(session):
    """One operation of EventBridge; others are unknown."""

    def put_events(request):
        return {
            "FailedEntryCount": 0,
            "Entries": [{"EventId": str(number)} for number, _ in enumerate(request["Entries"])],
        }

    with LocalCloudMap(targets={"AWSEvents.PutEvents": put_events}) as local:
        events = session.client("events", endpoint_url=local.endpoint_url)
        entry = {"Source": "shop", "DetailType": "order", "Detail": "{}"}
        assert events.put_events(Entries=[entry])["Entries"] == [{"EventId": "0"}]
        with pytest.raises(ClientError) as caught:
            events.list_rules()
        assert caught.value.response["Error"]["Code"] == "UnknownOperationException"
        assert local.stats.calls["AWSEvents.PutEvents"] == 1
        events.close()
