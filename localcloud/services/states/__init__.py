"""Step Functions: state machines in Amazon States Language, their executions and histories."""
