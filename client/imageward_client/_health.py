"""The standard health service's two messages.

They are declared here, in a descriptor pool of their own, so that an upload
frontend need not install grpcio-health-checking for one enum, and so that they
do not clash with that package where it is installed. See grpc/health/v1 in
https://github.com/grpc/grpc-proto.
"""

from __future__ import annotations

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from imageward_client._rpc import Rpc

SERVICE = "grpc.health.v1.Health"
STATUS_BY_NUMBER = ("UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN")


def _declared() -> descriptor_pb2.FileDescriptorProto:
    file = descriptor_pb2.FileDescriptorProto(
        name="grpc/health/v1/health.proto", package="grpc.health.v1", syntax="proto3"
    )
    field = descriptor_pb2.FieldDescriptorProto
    request = file.message_type.add(name="HealthCheckRequest")
    request.field.add(name="service", number=1, type=field.TYPE_STRING, label=field.LABEL_OPTIONAL)
    response = file.message_type.add(name="HealthCheckResponse")
    # The enum ServingStatus; as an integer it has the same wire form.
    response.field.add(name="status", number=1, type=field.TYPE_INT32, label=field.LABEL_OPTIONAL)
    return file


_pool = descriptor_pool.DescriptorPool()
_pool.Add(_declared())
HealthCheckRequest = message_factory.GetMessageClass(
    _pool.FindMessageTypeByName("grpc.health.v1.HealthCheckRequest")
)
HealthCheckResponse = message_factory.GetMessageClass(
    _pool.FindMessageTypeByName("grpc.health.v1.HealthCheckResponse")
)

# Not retried: whoever waits for a server asks again anyway, and would use up the
# retry budget that checks need once it is there.
HEALTH_CHECK = Rpc(SERVICE, "Check", HealthCheckResponse, idempotent=False)
