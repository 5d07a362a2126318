"""Streamed answers: what a socket asks for, the worker that makes an answer, and how readers get it."""
