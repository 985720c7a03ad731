"""The tables as Django's models, which make none of them."""

from __future__ import annotations

from django.db import models


class User(models.Model):
    """Who writes."""

    username = models.CharField(max_length=80)
    email = models.CharField(max_length=120)
    is_active = models.BooleanField()
    created_at = models.DateTimeField()

    class Meta:
        managed = False
        db_table = "users"


class Category(models.Model):
    """What a post is about."""

    name = models.CharField(max_length=80)

    class Meta:
        managed = False
        db_table = "categories"


class Tag(models.Model):
    """A keyword that posts share."""

    name = models.CharField(max_length=50)

    class Meta:
        managed = False
        db_table = "tags"
        ordering = ("id",)


class Post(models.Model):
    """An article."""

    title = models.CharField(max_length=200)
    content = models.TextField()
    published = models.BooleanField()
    created_at = models.DateTimeField()
    author = models.ForeignKey(User, models.CASCADE)
    category = models.ForeignKey(Category, models.CASCADE)
    tags = models.ManyToManyField(Tag, through="PostTag")

    class Meta:
        managed = False
        db_table = "posts"


class PostTag(models.Model):
    """That a post has a tag."""

    pk = models.CompositePrimaryKey("post_id", "tag_id")
    post = models.ForeignKey(Post, models.CASCADE)
    tag = models.ForeignKey(Tag, models.CASCADE)

    class Meta:
        managed = False
        db_table = "post_tags"


class Note(models.Model):
    """What is written while it is measured."""

    author = models.ForeignKey(User, models.CASCADE)
    title = models.CharField(max_length=200)
    body = models.TextField()
    done = models.BooleanField()
    created_at = models.DateTimeField()

    class Meta:
        managed = False
        db_table = "notes"


class Event(models.Model):
    """The columns of tables that differ in how many rows they have."""

    id = models.BigIntegerField(primary_key=True)
    account_id = models.IntegerField()
    kind = models.CharField(max_length=20)
    amount = models.IntegerField()
    happened_at = models.DateTimeField()

    class Meta:
        abstract = True


class MediumEvent(Event):
    """Those that are exported."""

    class Meta:
        managed = False
        db_table = "events_medium"


class Arrival(Event):
    """Those that are imported."""

    class Meta:
        managed = False
        db_table = "arrivals"
