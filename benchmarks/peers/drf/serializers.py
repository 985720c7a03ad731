"""What is shown of the tables' rows, and what is checked of new ones."""

from __future__ import annotations

from rest_framework import serializers

from .models import Category, Note, Post, Tag, User

EVENT = ("id", "account_id", "kind", "amount", "happened_at")


class UserSerializer(serializers.ModelSerializer):
    """All of a user."""

    class Meta:
        model = User
        fields = ("id", "username", "email", "is_active", "created_at")


class AuthorSerializer(serializers.ModelSerializer):
    """What a list shows of a user."""

    class Meta:
        model = User
        fields = ("id", "username")


class CategorySerializer(serializers.ModelSerializer):
    """All of a category."""

    class Meta:
        model = Category
        fields = ("id", "name")


class TagSerializer(serializers.ModelSerializer):
    """All of a tag."""

    class Meta:
        model = Tag
        fields = ("id", "name")


class PostSerializer(serializers.ModelSerializer):
    """What a list shows of a post."""

    author = AuthorSerializer()
    category = CategorySerializer()
    tags = TagSerializer(many=True)

    class Meta:
        model = Post
        fields = ("id", "title", "created_at", "author", "category", "tags")


class FlatPostSerializer(serializers.ModelSerializer):
    """A post without its relations."""

    class Meta:
        model = Post
        fields = ("id", "title", "created_at", "author_id")


class NoteSerializer(serializers.ModelSerializer):
    """All of a note, and what is checked of a new one."""

    author_id = serializers.IntegerField()

    class Meta:
        model = Note
        fields = ("id", "author_id", "title", "body", "done", "created_at")
