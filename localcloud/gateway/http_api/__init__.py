"""HTTP APIs of API Gateway (`AWS::ApiGatewayV2::Api` with ProtocolType HTTP)."""
