"""Types that nobody serves: each is refused with a sentence that helps."""

from __future__ import annotations

import pytest

from localcloud.template.refused import REASONS, SERVICES, reason_of


@pytest.mark.parametrize(
    ("resource_type", "word"),
    [
        ("AWS::EC2::SecurityGroup", "networks"),
        ("AWS::ECS::Service", "containers"),
        ("AWS::RDS::DBInstance", "SQL"),
        ("AWS::CloudFront::Distribution", "edge"),
        ("AWS::WAFv2::WebACL", "edge"),
        ("AWS::Budgets::Budget", "account"),
        ("AWS::ElastiCache::ReplicationGroup", "caches"),
        ("AWS::CloudWatch::Dashboard", "dashboards"),
        ("AWS::IAM::User", "users"),
        ("AWS::IoT::TopicRule", "devices"),
        ("AWS::OpenSearchService::Domain", "search"),
        ("AWS::SES::EmailIdentity", "mail"),
        ("AWS::CertificateManager::Certificate", "HTTP"),
        ("My::Own::Type", "My::Own::Type is not served here"),
        ("AWS::Nothing::Known", "AWS::Nothing::Known is not served here"),
    ],
)
def test_a_refusal_says_why(resource_type: str, word: str) -> None:
    """By type, else by service, else by name."""
    assert word in reason_of(resource_type)


def test_reasons_are_sentences_without_a_full_stop() -> None:
    """They stand at the end of a ledger line."""
    said = [*REASONS.values(), *SERVICES.values()]
    assert [text for text in said if text.endswith(".") or len(text) > 120 or not text] == []
